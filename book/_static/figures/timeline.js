// Unfreezing as a timeline: which stage learns in which epoch and how fast, and under it accuracy and forgetting.
Figures.start("timeline", (place, data) => {
    const F = Figures, { el, svg } = F, { stages, strategies, targets, epochs } = data;
    let target = targets[0], strategy = "gradual unfreezing", epoch = epochs;

    const says = F.live(), table = F.numbers("After each epoch");
    const chart = F.canvas((width) => draw(width));
    const run = () => target.runs[strategy];

    function show() {
        const { test, source } = run(), open = epoch ? strategies[strategy][epoch - 1].filter((rate) => rate !== null).length : 0;
        const lost = (source[0][0] - source[epoch][0]) / source[0][0];
        says.say(epoch ? `After epoch ${epoch} of ${epochs}` : "Before the first epoch", `, ${strategy} classifies `, el("strong", {}, F.percent(test[epoch][0])),
            ` (\u00b1 ${(100 * test[epoch][1]).toFixed(1)}) of the test images of ${target.title}, and ${lost < 0.005 ? "nothing" : `${Math.round(100 * lost)} %`} of the old task is forgotten. `,
            epoch ? (open === stages.length ? "All stages learn in this epoch." : `${open === 1 ? "Only the head learns" : `${open} of ${stages.length} stages learn`} in this epoch.`) : "");
        table.show(["epoch", "new task", "old task"], test.map((each, k) => [`${k}`, F.within(each), F.within(source[k])]));
        chart.draw();
    }

    function draw(width) {
        const narrow = width < 620, left = 62, right = narrow ? 76 : 84, cell = 22, top = 26, low = top + cell * stages.length;
        const phases = strategies[strategy], most = Math.max(...Object.values(strategies).flat(2).filter((rate) => rate !== null));
        const x = F.linear([0, epochs], [left, width - right]), shade = F.logarithmic([most / 100, most], [0.25, 1]);
        const height = low + 300, at = F.axes({ width, height, left, right, top: low + 40 },
            { domain: [0, epochs], ticks: Array.from({ length: epochs + 1 }, (_, k) => [k, `${k}`]).filter(([k]) => !narrow || k % 2 === 0), label: "epoch" },
            { domain: [0, 1], ticks: F.PERCENT },
            `${strategy} on ${target.title}, stage by stage and epoch by epoch. New task: ${run().test.map(([mean]) => F.percent(mean)).join(", ")}. Old task: ${run().source.map(([mean]) => F.percent(mean)).join(", ")}.`);
        const rows = stages.map((name, i) => [name, i, top + cell * (stages.length - 1 - i)]);
        at.node.prepend(svg("text", { class: "head name", x: 2, y: 14 }, "trained stages"), svg("text", { class: "head name", x: 2, y: low + 22 }, "accuracy"),
            ...rows.map(([name, i, y]) => svg("g", {}, svg("text", { class: "side", x: left - 8, y: y + 15 }, name),
                phases.map((rates, k) => svg("rect", { class: rates[i] === null ? "frozen" : "open", x: x(k) + 1, y: y + 1, width: x(k + 1) - x(k) - 2, height: cell - 2, rx: 3,
                    "fill-opacity": rates[i] === null ? null : shade(rates[i]).toFixed(2) })))));
        at.node.append(svg("line", { class: "rule", x1: x(epoch), x2: x(epoch), y1: top, y2: at.bottom }),
            svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(target.chance), y2: at.y(target.chance) }),
            F.curve(at, run().source.map((each, k) => [k, each]), 2), F.curve(at, run().test.map((each, k) => [k, each]), 0),
            svg("g", { class: "s0" }, svg("circle", { class: "spot", cx: x(epoch), cy: at.y(run().test[epoch][0]), r: 6 })),
            svg("g", { class: "s2" }, svg("circle", { class: "spot", cx: x(epoch), cy: at.y(run().source[epoch][0]), r: 6 })),
            ...F.labels(at.right + 10, [[at.y(run().test[epochs][0]), "new task", "s0"], [at.y(run().source[epochs][0]), "old task", "s2"], [at.y(target.chance), "chance", ""]], { low: at.top, high: at.bottom }),
            ...[["fast", top + cell], ["slow", top + 2.4 * cell], ["frozen", top + 3.8 * cell]].map(([words, y], k) => svg("g", {},
                svg("rect", { class: k === 2 ? "frozen" : "open", x: width - right + 10, y: y - 11, width: 12, height: 12, rx: 2, "fill-opacity": [1, 0.4, null][k] }),
                svg("text", { class: "label", x: width - right + 27, y }, words))));
        return at.node;
    }

    place.append(el("div", { class: "play-controls" },
        F.choice("Strategy", Object.keys(strategies).map((name) => [name, name]), strategy, (name) => { strategy = name; show(); }),
        targets.length > 1 && F.choice("Target", targets.map((each, k) => [k, each.title]), 0, (k) => { target = targets[k]; show(); }),
        F.slider("Epoch", Array.from({ length: epochs + 1 }, (_, k) => `${k}`), epoch, (k) => { epoch = k; show(); })),
    chart, says, table);
    show();
});
