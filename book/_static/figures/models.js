// Networks by size, time and accuracy: any two axes, one target at a time.
Figures.start("models", (place, data) => {
    const F = Figures, { el, svg } = F, { axes, targets } = data;
    let target = targets[0], across = "multiply_adds", up = "accuracy";

    const says = F.live(), table = F.numbers();
    const chart = F.canvas((width) => draw(width));
    const named = ({ source, drawn, input }) => `${source}, ${drawn && drawn !== input ? `${drawn} px seen at ${input}` : `${input} px`}`;
    const value = (model, axis) => (axis === "accuracy" ? model.accuracy[0] : model[axis]);
    const told = (model, axis) => {
        if (axis === "accuracy") return F.within(model.accuracy);
        const number = model[axis];
        if (axis === "log_me" || axis === "h_score") return number.toFixed(2);
        if (axis === "seconds") return `${number.toFixed(1)} s`;
        return number >= 1e9 ? `${(number / 1e9).toFixed(1)} billion` : number >= 1e6 ? `${(number / 1e6).toFixed(1)} million` : `${number}`;
    };

    function show() {
        const models = target.models, best = models.reduce((top, each) => (each.accuracy[0] > top.accuracy[0] ? each : top));
        const close = models.filter((each) => each.accuracy[0] >= best.accuracy[0] - best.accuracy[1]);
        const light = close.reduce((top, each) => (each.multiply_adds < top.multiply_adds ? each : top));
        says.say("The best features for ", target.title, " come from ", el("strong", {}, named(best)), `: ${F.within(best.accuracy)}. `,
            light === best ? "None within its interval needs less work." : `${named(light)} is within its interval, with ${(best.multiply_adds / light.multiply_adds).toFixed(1)} times fewer multiply-adds.`);
        table.show(["network, images", ...Object.values(axes)], models.map((each) => [named(each), ...Object.keys(axes).map((axis) => told(each, axis))]));
        chart.draw();
    }

    /** Ends and ticks of an axis; sizes and times are drawn on a logarithmic one. */
    function scale(axis) {
        if (axis === "accuracy") return { domain: [0, 1], ticks: F.PERCENT };
        const all = target.models.map((each) => each[axis]), low = Math.min(...all), high = Math.max(...all);
        if (axis === "log_me" || axis === "h_score") {
            const room = (high - low || 1) * 0.12, step = (high - low || 1) / 3;
            return { domain: [low - room, high + room], ticks: [0, 1, 2, 3].map((i) => [low + i * step, (low + i * step).toFixed(1)]) };
        }
        const from = low / 1.6, to = high * 1.6, ticks = [];
        for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power += 1)
            for (const part of [1, 3]) {
                const at = part * 10 ** power;
                if (at >= from && at <= to) ticks.push([at, at >= 1e9 ? `${at / 1e9} G` : at >= 1e6 ? `${at / 1e6} M` : `${+at.toPrecision(1)}`]);
            }
        return { domain: [from, to], log: true, ticks };
    }

    function draw(width) {
        const at = F.axes({ width, height: 420, left: 54, right: 20 }, { ...scale(across), label: axes[across] }, { ...scale(up), label: axes[up] },
            `${target.title}: ${target.models.map((each) => `${named(each)}: ${axes[across]} ${told(each, across)}, ${axes[up]} ${told(each, up)}`).join("; ")}.`);
        const spots = target.models.map((each) => [at.x(value(each, across)), at.y(value(each, up)), each]);
        const taken = spots.map(([x, y]) => [x - 7, y + 4, 14]);
        const free = (x, y, length) => !taken.some(([a, b, l]) => Math.abs(y - b) < 13 && x < a + l && a < x + length);
        at.node.append(up === "accuracy" ? svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(target.chance), y2: at.y(target.chance) }) : "",
            ...spots.map(([x, y, each]) => {
                const words = each.drawn && each.drawn !== each.input ? `${each.drawn}\u2192${each.input}` : `${each.input}`, length = 8.3 * words.length;
                const [from, high] = [[10, 5], [-10 - length, 5], [-length / 2, 24], [-length / 2, -13], [10, 20], [10, -10], [-10 - length, 20], [-10 - length, -10]]
                    .map(([right, down]) => [x + right, y + down]).find((where) => free(...where, length)) ?? [x + 10, y + 5];
                taken.push([from, high, length]);
                return svg("g", { class: kind(each) }, svg("title", {}, `${named(each)}: ${told(each, up)}`),
                    up === "accuracy" && svg("line", { class: "whisker", x1: x, x2: x, y1: at.y(Math.min(1, each.accuracy[0] + each.accuracy[1])), y2: at.y(Math.max(0, each.accuracy[0] - each.accuracy[1])) }),
                    svg("circle", { class: "spot", cx: x, cy: y, r: 7 }), svg("text", { class: "label", x: from, y: high }, words));
            }));
        return at.node;
    }

    /** One color for each pretrained network, gray for random weights. */
    const networks = [...new Set(targets.flatMap(({ models }) => models.filter((each) => each.pretrained).map((each) => each.source)))];
    const kind = (model) => (model.pretrained ? `s${networks.indexOf(model.source)}` : "s6");
    const legend = el("ul", { class: "play-names" }, networks.map((name, i) => el("li", { class: `s${i}` }, name)), el("li", { class: "s6" }, "random weights"),
        el("li", { class: "plain" }, "The numbers are image sizes in pixels; 64\u2192128 is enlarged."));

    const choose = (legend, chosen, change) => F.choice(legend, Object.entries(axes), chosen, change);
    place.append(el("div", { class: "play-controls" },
        F.choice("Target", targets.map((each, i) => [i, each.title]), 0, (i) => { target = targets[i]; show(); }),
        choose("Across", across, (axis) => { across = axis; show(); }), choose("Up", up, (axis) => { up = axis; show(); })),
    chart, legend, says, table);
    show();
});
