// The learning rate as a slider: the training curves of the very runs at this rate, and where they end.
Figures.start("rate", (place, data) => {
    const F = Figures, { el, svg } = F, { rates, parts, untouched, chance } = data;
    const WORDS = { all: "everything", head: "the head alone" };
    let part = "all", i = rates.indexOf(0.01);

    const says = F.live(), table = F.numbers("Where the runs at each rate end");
    const losses = F.canvas((width) => drawLoss(width)), curves = F.canvas((width) => drawCurves(width)), ends = F.canvas((width) => drawEnds(width));
    const runs = () => parts[part].runs[i], summary = () => parts[part];
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

    function show() {
        const { test, source } = summary(), best = test.reduce((top, [value], k) => (value > test[top][0] ? k : top), 0);
        const blown = runs().filter(({ loss }) => Math.max(...loss) > 10).length, slow = mean(runs().map(({ train }) => train.at(-1))) < 0.7;
        says.say("At ", el("strong", {}, F.rate(rates[i])), `, training ${WORDS[part]} ends at ${F.within(test[i])} on test images; of the old images ${F.percent(source[i][0])} are still right (before: ${F.percent(untouched)}). `,
            blown ? "The rate is too high: the loss explodes." : slow ? "The rate is too low: after eight epochs even the training images are not learned." : best === i ? "The best of these rates." : `The best of these rates is ${F.rate(rates[best])}, with ${F.percent(test[best][0])}.`);
        table.show(["rate", "test accuracy", "old task"], rates.map((each, k) => [F.rate(each), F.within(test[k]), F.within(source[k])]));
        for (const each of [losses, curves, ends]) each.draw();
    }

    function drawLoss(width) {
        const steps = runs()[0].loss.length, most = 5;
        const at = F.axes({ width, height: 250, left: 34 }, { domain: [1, steps], ticks: [1, 10, 20, 30, 40].filter((each) => each <= steps).map((each) => [each, `${each}`]), label: "step" },
            { domain: [0, most], ticks: [0, 1, 2, 3, 4, 5].map((each) => [each, `${each}`]), label: "training loss" },
            `Training loss at a rate of ${F.rate(rates[i])}: from ${mean(runs().map(({ loss }) => loss[0])).toFixed(1)} to ${mean(runs().map(({ loss }) => loss.at(-1))).toFixed(1)}.`);
        const high = runs().some(({ loss }) => Math.max(...loss) > most);
        at.node.append(...runs().map(({ loss }) => svg("g", { class: "s1 thin" }, F.line(loss.map((value, k) => [at.x(k + 1), at.y(Math.min(value, most))])))),
            high ? svg("text", { class: "label s1", x: at.right - 4, y: at.top + 14, "text-anchor": "end" }, "off the scale \u2191") : "");
        return at.node;
    }

    function drawCurves(width) {
        const epochs = runs()[0].val.length, each = (key) => Array.from({ length: epochs }, (_, k) => mean(runs().map((run) => run[key][k])));
        const at = F.axes({ width, height: 250, right: 84 }, { domain: [1, epochs], ticks: Array.from({ length: epochs }, (_, k) => [k + 1, `${k + 1}`]), label: "epoch" },
            { domain: [0, 1], ticks: F.PERCENT, label: "accuracy" },
            `Accuracy by epoch at a rate of ${F.rate(rates[i])}. Training: ${each("train").map(F.percent).join(", ")}. Validation: ${each("val").map(F.percent).join(", ")}.`);
        at.node.append(svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(chance), y2: at.y(chance) }));
        for (const [key, kind] of [["train", "s1"], ["val", "s0"]])
            at.node.append(svg("g", { class: kind }, ...runs().map((run) => svg("g", { class: "thin" }, F.line(run[key].map((value, k) => [at.x(k + 1), at.y(value)])))),
                F.line(each(key).map((value, k) => [at.x(k + 1), at.y(value)]))));
        at.node.append(...F.labels(at.right + 8, [[at.y(each("train").at(-1)), "training", "s1"], [at.y(each("val").at(-1)), "validation", "s0"], [at.y(chance), "chance", ""]], { low: at.top, high: at.bottom }));
        return at.node;
    }

    function drawEnds(width) {
        const { test, source } = summary();
        const at = F.axes({ width, height: 270, right: width < 620 ? 78 : 116 }, { domain: [rates[0] / 1.5, rates.at(-1) * 1.5], log: true,
            ticks: rates.filter((_, k) => k % (width < 420 ? 4 : 2) === 0).map((each) => [each, F.rate(each)]), label: part === "all" ? "learning rate of the pretrained stages" : "learning rate of the head" },
        { domain: [0, 1], ticks: F.PERCENT, label: "where the runs end" },
        `Test accuracy by rate: ${rates.map((each, k) => `${F.rate(each)}: ${F.percent(test[k][0])}, old task ${F.percent(source[k][0])}`).join("; ")}.`);
        const series = (values) => rates.map((each, k) => [each, values[k]]);
        at.node.append(F.rule(at, at.x(rates[i])), svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(chance), y2: at.y(chance) }),
            F.curve(at, series(source), 2), F.curve(at, series(test), 0),
            svg("g", { class: "s0" }, svg("circle", { class: "spot", cx: at.x(rates[i]), cy: at.y(test[i][0]), r: 6 })),
            svg("g", { class: "s2" }, svg("circle", { class: "spot", cx: at.x(rates[i]), cy: at.y(source[i][0]), r: 6 })),
            ...F.labels(at.right + 8, [[at.y(test.at(-1)[0]), width < 620 ? "new task" : "new task, test", "s0"], [at.y(source.at(-1)[0]), "old task", "s2"], [at.y(chance), "chance", ""]], { low: at.top, high: at.bottom }));
        return at.node;
    }

    place.append(el("div", { class: "play-controls" },
        Object.keys(parts).length > 1 && F.choice("What is trained", Object.keys(parts).map((each) => [each, WORDS[each]]), part, (chosen) => { part = chosen; show(); }),
        F.slider("Learning rate", rates.map(F.rate), i, (k) => { i = k; show(); })),
    ends, says, el("div", { class: "play-pair" }, losses, curves), table);
    show();
});
