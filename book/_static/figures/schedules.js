// A playground of learning-rate schedules: the rate of every stage in every step, as PyTorch computes it, and its code.
window.Schedules = (() => {
    const cosine = (from, to, part) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * part));

    /** The factor of each step, PyTorch's `OneCycleLR`: its peak is 1, it begins at 1/25 and ends at 1/250,000. */
    function oneCycle(steps, rise) {
        const peak = rise * steps - 1, last = steps - 1;
        return Array.from({ length: steps }, (_, step) => (step <= peak
            ? cosine(1 / 25, 1, step / peak)
            : cosine(1, 1 / 25e4, (step - peak) / (last - peak))));
    }

    /** The factor of each step after the warm-up. */
    const AFTER = {
        constant: () => 1,
        StepLR: (step, steps, { every }) => 0.1 ** Math.floor(step / every),
        cosine: (step, steps) => (1 + Math.cos((Math.PI * step) / steps)) / 2,
    };

    /** The factor by which all rates are multiplied in each step: `LinearLR`, then the schedule. */
    function factors({ schedule, steps, warmup, every }) {
        if (schedule === "one-cycle") return oneCycle(steps, Math.max(warmup, 2) / steps);
        const start = 1 / (warmup + 1);
        return Array.from({ length: steps }, (_, step) => (step < warmup
            ? start + ((1 - start) * step) / warmup
            : AFTER[schedule](step - warmup, steps - warmup, { every })));
    }

    /** The rate of each stage (stem to head) in each step. */
    function rates(setting, stages) {
        const all = factors(setting);
        return stages.map((_, i) => all.map((factor) => factor * setting.lr * setting.decay ** (stages.length - 1 - i)));
    }

    /** The code that makes these rates. */
    function code({ schedule, steps, warmup, every, lr, decay }) {
        const number = (value) => (value >= 0.001 ? `${+value.toPrecision(2)}` : value.toExponential(0).replace("e-", "e-"));
        const lines = [
            `groups = parameter_groups(model, lr=${number(lr)}${decay === 1 ? "" : `, layer_decay=${decay}`})`,
            "optimizer = torch.optim.AdamW(groups)",
        ];
        const left = steps - (schedule === "one-cycle" ? 0 : warmup);
        const main = {
            constant: "ConstantLR(optimizer, factor=1.0)",
            StepLR: `StepLR(optimizer, step_size=${every}, gamma=0.1)`,
            cosine: `CosineAnnealingLR(optimizer, T_max=${left})`,
            "one-cycle": `OneCycleLR(optimizer, [g["lr"] for g in groups], total_steps=${steps}, pct_start=${+(Math.max(warmup, 2) / steps).toFixed(4)})`,
        }[schedule];
        if (schedule === "one-cycle" || !warmup) return [...lines, `scheduler = ${main}`];
        return [...lines, `rise = LinearLR(optimizer, start_factor=1 / ${warmup + 1}, total_iters=${warmup})`,
            `scheduler = SequentialLR(optimizer, [rise, ${main}], milestones=[${warmup}])`];
    }

    return { rates, code, factors };
})();

Figures.start("schedules", (place, { stages }) => {
    const F = Figures, { el, svg } = F, STEPS = 100;
    const RATES = [1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 3e-2];
    const DECAYS = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];
    const setting = { schedule: "one-cycle", steps: STEPS, warmup: 10, every: 30, lr: 1e-3, decay: 0.6 };
    let step = 9, log = false;

    const says = F.live(), table = F.numbers("The rate of each stage, every tenth step"), code = el("pre", { class: "play-code", tabindex: 0 }, el("code"));
    const chart = F.canvas((width) => draw(width));
    const change = (key) => (value) => { setting[key] = value; show(); };
    const warmup = F.slider("Warm-up", Array.from({ length: 51 }, (_, i) => `${i} steps`), setting.warmup, change("warmup"));
    const every = F.slider("Step size", Array.from({ length: 50 }, (_, i) => `${i + 1} steps`), setting.every - 1, (i) => change("every")(i + 1));

    function show() {
        const { schedule, decay } = setting, rates = Schedules.rates(setting, stages), head = rates.at(-1);
        every.hidden = schedule !== "StepLR";
        const top = head.indexOf(Math.max(...head)) + 1, ratio = rates.at(-1)[step] / rates[0][step];
        says.say(`Step ${step + 1} of ${STEPS}: the head learns at `, el("strong", {}, F.rate(head[step])), `, the stem at ${F.rate(rates[0][step])}`,
            decay === 1 ? ", the same. " : `, ${ratio.toFixed(ratio < 10 ? 1 : 0)} times less. `, `The head's rate is highest in step ${top}.`,
            schedule === "one-cycle" && setting.warmup < 2 ? " One-cycle has to rise for two steps at least." : "");
        code.firstChild.textContent = Schedules.code(setting).join("\n");
        table.show(["step", ...stages], Array.from({ length: STEPS }, (_, i) => i).filter((i) => i % 10 === 0 || i === STEPS - 1)
            .map((i) => [`${i + 1}`, ...rates.map((each) => F.rate(each[i]))]));
        place.rates = rates;
        chart.draw();
    }

    function draw(width) {
        const rates = Schedules.rates(setting, stages), most = Math.max(...rates.flat()), low = most / 1e4;
        const powers = [0, 1, 2, 3, 4].map((i) => most / 10 ** i);
        const at = F.axes({ width, height: 320, left: 62, right: width < 620 ? 62 : 124 },
            { domain: [1, STEPS], ticks: [1, 20, 40, 60, 80, 100].map((each) => [each, `${each}`]), label: "optimizer step" },
            log ? { domain: [low, most * 1.2], log, ticks: powers.map((each) => [each, F.rate(each)]), label: "learning rate" }
                : { domain: [0, most * 1.04], ticks: [0, 0.25, 0.5, 0.75, 1].map((part) => [part * most, F.rate(part * most)]), label: "learning rate" },
            `Learning rates of ${stages.join(", ")} over ${STEPS} steps. ${says.textContent}`);
        const shown = log ? (value) => Math.max(value, low) : (value) => value;
        at.node.append(F.rule(at, at.x(step + 1)));
        rates.forEach((each, i) => at.node.append(svg("g", { class: `t${i}` }, F.line(each.map((value, j) => [at.x(j + 1), at.y(shown(value))])),
            svg("circle", { class: "spot", cx: at.x(step + 1), cy: at.y(shown(each[step])), r: 4.5 }))));
        const even = setting.decay === 1;
        at.node.append(...F.labels(at.right + 10, (even ? [rates.length - 1] : rates.map((_, i) => i)).map((i) =>
            [at.y(shown(rates[i][step])), even ? "all" : width < 620 ? stages[i] : `${stages[i]} ${F.rate(rates[i][step])}`, `t${i}`]), { low: at.top, high: at.bottom }));
        return at.node;
    }

    place.append(el("div", { class: "play-controls" },
        F.choice("Schedule", [["constant", "constant"], ["StepLR", "StepLR"], ["cosine", "cosine"], ["one-cycle", "one-cycle"]], setting.schedule, change("schedule")),
        F.choice("Axis", [[false, "linear"], [true, "logarithmic"]].map(([value, words]) => [value, words]), log, (value) => { log = value; show(); }),
        warmup, every,
        F.slider("Layer decay", DECAYS.map((each) => `${each}`), DECAYS.indexOf(setting.decay), (i) => change("decay")(DECAYS[i])),
        F.slider("Rate of the head", RATES.map(F.rate), RATES.indexOf(setting.lr), (i) => change("lr")(RATES[i])),
        F.slider("Look at step", Array.from({ length: STEPS }, (_, i) => `${i + 1}`), step, (i) => { step = i; show(); })),
    chart, says, el("h4", {}, "The code that makes it"), code, table);
    show();
});
