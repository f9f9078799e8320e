// A linear probe at any stage for any target: how far the classes lie apart there, and what a probe makes of it.
Figures.start("probe", (place, data) => {
    const F = Figures, { el, svg } = F, { stages, targets } = data;
    let target = targets[0], stage = 0;

    const says = F.live(), table = F.numbers(), named = el("ul", { class: "play-names" });
    const cloud = F.canvas((width) => drawCloud(width)), chart = F.canvas((width) => drawChart(width));
    const best = () => target.pretrained.reduce((top, [mean], i, all) => (mean > all[top][0] ? i : top), 0);

    function show() {
        const [mean, half] = target.pretrained[stage], first = best();
        says.say("At ", el("strong", {}, stages[stage]), `, a probe classifies ${F.percent(mean)} \u00b1 ${(100 * half).toFixed(1)} of the test images of ${target.title} correctly; `,
            `with random weights ${F.percent(target.random[stage][0])}, by chance ${F.percent(target.chance)}. `,
            first === stage ? "Here the probe is at its best." : `The best stage is ${stages[first]}, with ${F.percent(target.pretrained[first][0])}.`);
        table.show(["stage", "pretrained", "random weights"], stages.map((name, i) => [name, F.within(target.pretrained[i]), F.within(target.random[i])]));
        named.replaceChildren(...target.classes.map((name, i) => el("li", { class: `c${i}` }, name)));
        cloud.draw();
        chart.draw();
    }

    function drawCloud(width) {
        const side = Math.min(width, 400), x = F.linear([0, 1], [12, side - 12]), y = F.linear([0, 1], [side - 12, 12]);
        return svg("svg", { width: side, height: side, viewBox: `0 0 ${side} ${side}`, role: "img",
            "aria-label": `Test images of ${target.title} as dots, by their features at ${stages[stage]}; a color for each class. The better they are separated, the better the probe.` },
        svg("rect", { class: "frame", x: 0.5, y: 0.5, width: side - 1, height: side - 1, rx: 6 }),
        target.points[stage].map(([across, up], i) => svg("circle", { class: `c${target.labels[i]}`, cx: x(across), cy: y(up), r: side < 320 ? 4 : 5 })));
    }

    function drawChart(width) {
        const at = F.axes({ width, height: 320, right: width < 380 ? 84 : 116 },
            { domain: [-0.25, stages.length - 0.75], ticks: stages.map((name, i) => [i, width < 380 ? name.replace("layer", "") : name]),
                label: width < 380 ? "stem, layers 1 to 4" : "stage that the probe reads" },
            { domain: [0, 1], ticks: F.PERCENT, label: "test accuracy" },
            `Accuracy of a probe on ${target.title} by stage. ${stages.map((name, i) => `${name}: ${F.within(target.pretrained[i])}, random weights ${F.within(target.random[i])}`).join("; ")}.`);
        const [mean] = target.pretrained[stage], last = stages.length - 1;
        at.node.append(F.rule(at, at.x(stage)),
            svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(target.chance), y2: at.y(target.chance) }),
            F.curve(at, target.random.map((each, i) => [i, each]), 6), F.curve(at, target.pretrained.map((each, i) => [i, each]), 0),
            svg("g", { class: "s0" }, svg("circle", { class: "spot", cx: at.x(stage), cy: at.y(mean), r: 6 })),
            ...F.labels(at.right + 8, [[at.y(target.pretrained[last][0]), "pretrained", "s0"], [at.y(target.random[last][0]), width < 380 ? "random" : "random weights", "s6"],
                [at.y(target.chance), "chance", ""]], { low: at.top, high: at.bottom }));
        return at.node;
    }

    place.append(el("div", { class: "play-controls" },
        F.choice("Target", targets.map((each, i) => [i, each.title]), 0, (i) => { target = targets[i]; show(); }),
        F.slider("Stage", stages, stage, (i) => { stage = i; show(); })),
    el("div", { class: "play-pair" }, el("div", {}, cloud, named), chart), says, table);
    show();
});
