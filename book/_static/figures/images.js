// Accuracy as images are added: a linear probe on the features of the last stage.
Figures.start("images", (place, data) => {
    const F = Figures, { el, svg } = F, { sizes, targets } = data;
    let target = targets[0], at = sizes.indexOf(5);

    const says = F.live(), table = F.numbers();
    const chart = F.canvas((width) => draw(width));

    function show() {
        const [mean, half] = target.pretrained[at], size = sizes[at], enough = target.pretrained.findIndex(([value]) => value >= target.pretrained.at(-1)[0] - 0.05);
        const more = at < sizes.length - 1 ? sizes.findIndex((each) => each >= 2 * size) : -1, next = more < 0 ? sizes.length - 1 : more;
        says.say(el("strong", {}, `${size} ${size === 1 ? "image" : "images"} per class: ${F.percent(mean)}`), ` \u00b1 ${(100 * half).toFixed(1)} of the test images of ${target.title}; `,
            `with random weights ${F.percent(target.random[at][0])}. `,
            next > at ? `With ${sizes[next]}: ${F.points(target.pretrained[next][0] - mean)}. ` : "",
            `After ${sizes[enough]}, all further images up to ${sizes.at(-1)} bring less than five points.`);
        table.show(["images per class", "pretrained", "random weights"], sizes.map((each, i) => [`${each}`, F.within(target.pretrained[i]), F.within(target.random[i])]));
        chart.draw();
    }

    function draw(width) {
        const axes = F.axes({ width, height: 330, right: width < 620 ? 74 : 130 },
            { domain: [0.9, sizes.at(-1)], log: true, ticks: [1, 2, 5, 10, 20, 50].map((each) => [each, `${each}`]), label: "training images per class" },
            { domain: [0, 1], ticks: F.PERCENT, label: "test accuracy" },
            `Accuracy on ${target.title} over training images per class: ${sizes.map((each, i) => `${each}: ${F.within(target.pretrained[i])}`).join("; ")}. Chance ${F.percent(target.chance)}.`);
        const series = (values) => sizes.map((each, i) => [each, values[i]]), [mean] = target.pretrained[at], x = axes.x(sizes[at]), y = axes.y(mean);
        axes.node.append(F.rule(axes, x),
            svg("line", { class: "chance", x1: axes.left, x2: axes.right, y1: axes.y(target.chance), y2: axes.y(target.chance) }),
            F.curve(axes, series(target.random), 6), F.curve(axes, series(target.pretrained), 0),
            svg("g", { class: "s0" }, target.draws[at].map((value) => svg("circle", { class: "draw", cx: x, cy: axes.y(value), r: 3 })),
                svg("circle", { class: "spot", cx: x, cy: y, r: 7 })),
            svg("text", { class: "label big s0", x: x + (at < sizes.length * 0.75 ? 12 : -12), y: y + (at < 3 ? -10 : 24), "text-anchor": at < sizes.length * 0.75 ? "start" : "end" }, F.percent(mean)),
            ...F.labels(axes.right + 8, [[axes.y(target.pretrained.at(-1)[0]), "pretrained", "s0"], [axes.y(target.random.at(-1)[0]), width < 620 ? "random" : "random weights", "s6"],
                [axes.y(target.chance), "chance", ""]], { low: axes.top, high: axes.bottom }));
        return axes.node;
    }

    place.append(el("div", { class: "play-controls" },
        F.choice("Target", targets.map((each, i) => [i, each.title]), 0, (i) => { target = targets[i]; show(); }),
        F.slider("Training images per class", sizes.map(String), at, (i) => { at = i; show(); })),
    chart, says, table);
    show();
});
