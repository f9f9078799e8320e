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
        const at = F.axes({ width, height: 380, left: 54 }, { ...scale(across), label: axes[across] }, { ...scale(up), label: axes[up] },
            `${target.title}: ${target.models.map((each) => `${named(each)}: ${axes[across]} ${told(each, across)}, ${axes[up]} ${told(each, up)}`).join("; ")}.`);
        const spots = target.models.map((each) => [at.x(value(each, across)), at.y(value(each, up)), each]);
        const taken = [];
        const free = (x, y, length) => !taken.some(([a, b, l]) => Math.abs(y - b) < 14 && x < a + l && a < x + length);
        at.node.append(up === "accuracy" ? svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(target.chance), y2: at.y(target.chance) }) : "",
            ...spots.map(([x, y, each]) => {
                const words = named(each), length = 6.9 * words.length, right = x + 12 + length < width;
                const from = right ? x + 11 : x - 11 - length, high = [5, -11, 20, -26, 35, -41, 50].map((shift) => y + shift).find((each) => free(from, each, length)) ?? y + 5;
                taken.push([from, high, length]);
                return svg("g", { class: each.pretrained ? "s0" : "s6" },
                    up === "accuracy" && svg("line", { class: "whisker", x1: x, x2: x, y1: at.y(Math.min(1, each.accuracy[0] + each.accuracy[1])), y2: at.y(Math.max(0, each.accuracy[0] - each.accuracy[1])) }),
                    svg("circle", { class: "spot", cx: x, cy: y, r: 7 }),
                    width >= 480 && svg("text", { class: "label", x: right ? x + 11 : x - 11, y: high, "text-anchor": right ? "start" : "end" }, words));
            }));
        return width >= 480 ? at.node : [at.node, el("p", { class: "play-note" }, "The names stand in the table below.")];
    }

    const choose = (legend, chosen, change) => F.choice(legend, Object.entries(axes), chosen, change);
    place.append(el("div", { class: "play-controls" },
        F.choice("Target", targets.map((each, i) => [i, each.title]), 0, (i) => { target = targets[i]; show(); }),
        choose("Across", across, (axis) => { across = axis; show(); }), choose("Up", up, (axis) => { up = axis; show(); })),
    chart, says, table);
    show();
});
