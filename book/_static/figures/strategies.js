// Which strategy when: one place of the grid (a target, so many images per class) with every strategy measured there.
Figures.start("strategies", (place, data) => {
    const F = Figures, { el, svg } = F;
    const sizesOf = (target) => Object.keys(data.places[target] ?? {}).map(Number).sort((a, b) => a - b);
    const measured = data.targets.filter(({ name }) => sizesOf(name).length);
    if (!measured.length) return;
    let target = measured[0], size = sizesOf(target.name)[0];

    const row = (name) => here().rows.find((each) => each.name === name);
    const here = () => data.places[target.name][size];
    const told = (name) => `${F.within(row(name).test)}`;

    const rows = F.canvas((width) => drawRows(width));
    const overview = F.canvas((width) => drawOverview(width));
    const says = F.live(), book = el("div", { class: "play-book" }), table = F.numbers("The numbers of this place");
    const targets = el("div"), slider = F.slider("Training images per class", ["1"], 0, (index) => { size = sizesOf(target.name)[index]; show(); });

    const backbones = [...new Set(data.targets.map((each) => each.backbone))];
    const some = (backbone) => measured.find((each) => each.backbone === backbone);
    const backbone = F.choice("Backbone", backbones.map((each) => [each, data.backbones[each], !some(each)]), target.backbone, (chosen) => {
        take(some(chosen));
        offer();
    });

    function offer() {
        const options = data.targets.filter((each) => each.backbone === target.backbone);
        targets.replaceChildren(F.choice("Target", options.map((each) => [each.name, `${each.title}, ${each.domain}`, !sizesOf(each.name).length]),
            target.name, (name) => take(data.targets.find((each) => each.name === name))));
    }

    function take(next) {
        target = next;
        const sizes = sizesOf(target.name);
        size = sizes.reduce((best, each) => (Math.abs(each - size) < Math.abs(best - size) ? each : best), sizes[0]);
        slider.renew(sizes.map(String), sizes.indexOf(size));
        show();
    }

    function show() {
        const { best, advice, missing } = here(), cheap = row(advice), top = row(best);
        const equal = here().rows.filter(({ status, name }) => status === "equal" && name !== advice).map(({ name }) => name);
        says.say(
            `With ${size} ${size === 1 ? "image" : "images"} per class of ${target.title}: `,
            el("strong", {}, advice), ` (${told(advice)}, ${seconds(cheap)}). `,
            best === advice ? "It has the highest accuracy" : `${best} is ahead with ${told(best)}, but cannot be distinguished from it, and takes ${seconds(top)}`,
            best === advice ? (equal.length ? `; not distinguishable: ${equal.join(", ")}. ` : ", and all others are worse. ") : ". ",
            missing.length ? `Not measured yet: ${missing.join(", ")}.` : "");
        table.show(["strategy", "test accuracy", "behind the best", "seconds", "old task", "rate, steps"], here().rows.map((each) => [
            each.name, F.within(each.test), each.name === best ? "best" : `${F.points(each.behind[0])} ± ${(100 * each.behind[1]).toFixed(1)}, ${WORDS[each.status]}`,
            each.seconds.toFixed(1), each.source ? F.within(each.source) : "\u2013", `${F.rate(each.lr)}, ${each.steps}`]));
        book.replaceChildren(el("h3", {}, "The textbook, here"), el("ul", {}, data.textbook.map((line) => {
            const verdict = line.places[`${target.name} ${size}`];
            return el("li", { class: verdict ? `says ${KIND[verdict]}` : "says silent" }, el("q", {}, line.sentence.replace(/\.$/, "")), " ",
                el("span", {}, verdict ? `${verdict} here` : line.applies[target.name]?.includes(size) ? "not measured yet" : "not about this place"));
        })));
        rows.draw();
        overview.draw();
    }

    const WORDS = { best: "best", equal: "not distinguishable", worse: "worse" };
    const KIND = { holds: "right", "does not hold": "wrong", "not distinguishable": "even" };
    const seconds = ({ seconds }) => (seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`);

    function drawRows(width) {
        const narrow = width < 620, step = narrow ? 50 : 36, left = narrow ? 6 : 168, right = narrow ? 108 : 176, top = 40;
        const { rows: all, missing, advice } = here(), height = top + step * (all.length + missing.length) + 30;
        const lowest = Math.min(...all.map(({ test: [mean, half] }) => mean - half), target.chance);
        const from = Math.max(0, Math.floor(10 * lowest) / 10), x = F.linear([from, 1], [left, width - right]);
        const ticks = (width < 420 ? [0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1]).filter((value) => value >= from);
        const costs = width - right + (narrow ? 50 : 80), kept = width - (narrow ? 2 : 8);
        const alt = `Test accuracy on ${target.title} with ${size} images per class: ${all.map(({ name, test, status }) => `${name} ${F.within(test)}, ${WORDS[status]}`).join("; ")}.`;
        const y = (i) => top + step * (i + 0.5) + (narrow ? 8 : 0);
        return svg("svg", { class: "strategies", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": alt },
            svg("text", { class: "foot name", x: costs, y: 16, "text-anchor": "end" }, narrow ? "training" : "training time"),
            svg("text", { class: "foot name", x: kept, y: 16, "text-anchor": "end" }, narrow ? "old task" : "old task kept"),
            svg("text", { class: "name start", x: left, y: 16 }, "test accuracy"),
            ticks.map((value) => [
                svg("line", { class: "grid", x1: x(value), x2: x(value), y1: top - 10, y2: height - 26 }),
                svg("text", { class: "foot", x: x(value), y: height - 8 }, `${Math.round(100 * value)} %`)]),
            target.chance > from && [
                svg("line", { class: "chance", x1: x(target.chance), x2: x(target.chance), y1: top - 10, y2: height - 26 }),
                svg("text", { class: "foot", x: x(target.chance), y: top - 14 }, "chance")],
            all.map((each, i) => svg("g", { class: `${each.status}${each.name === advice ? " advice" : ""}` },
                each.name === advice && svg("rect", { class: "ground", x: 0, y: y(i) - step / 2 - (narrow ? 8 : 0), width, height: step, rx: 5 }),
                svg("text", { class: "who", x: narrow ? left : left - 16, y: narrow ? y(i) - 14 : y(i) + 5, "text-anchor": narrow ? "start" : "end" },
                    each.name === advice ? "\u2713 " : "", each.name),
                svg("line", { class: "whisker", x1: x(Math.max(from, each.test[0] - each.test[1])), x2: x(Math.min(1, each.test[0] + each.test[1])), y1: y(i), y2: y(i) }),
                svg("circle", { cx: x(each.test[0]), cy: y(i), r: 6 }),
                svg("text", { class: "cost", x: costs, y: y(i) + 5, "text-anchor": "end" }, seconds(each)),
                svg("text", { class: "cost", x: kept, y: y(i) + 5, "text-anchor": "end" },
                    each.source && data.untouched[target.name] ? `${Math.round((100 * each.source[0]) / data.untouched[target.name])} %` : "\u2013"))),
            missing.map((name, i) => svg("g", { class: "absent" },
                svg("text", { class: "who", x: narrow ? left : left - 16, y: narrow ? y(all.length + i) - 14 : y(all.length + i) + 5, "text-anchor": narrow ? "start" : "end" }, name),
                svg("text", { class: "who", x: left + 4, y: y(all.length + i) + 5 }, "not measured yet"))));
    }

    function drawOverview(width) {
        const sizes = sizesOf(target.name), narrow = width < 620;
        const ends = sizes.length > 1 ? [sizes[0] / 1.15, sizes.at(-1) * 1.15] : [sizes[0] / 2, sizes[0] * 2];
        const series = data.strategies.map((name, number) => ({
            name, number,
            values: sizes.flatMap((each) => data.places[target.name][each].rows.filter((found) => found.name === name).map((found) => [each, found.test])),
        })).filter(({ values }) => values.length);
        const at = F.axes({ width, height: 340, left: 46, right: narrow ? 14 : 150 },
            { domain: ends, log: true, ticks: sizes.filter((_, i) => !narrow || i % 2 === 0).map((each) => [each, `${each}`]), label: "training images per class" },
            { domain: [0, 1], ticks: F.PERCENT, label: "test accuracy" },
            `Test accuracy on ${target.title} over training images per class: ${series.map(({ name, values }) => `${name} ${values.map(([each, [mean]]) => `${F.percent(mean)} with ${each}`).join(", ")}`).join("; ")}.`);
        at.node.append(
            F.rule(at, at.x(size)),
            svg("line", { class: "chance", x1: at.left, x2: at.right, y1: at.y(target.chance), y2: at.y(target.chance) }),
            ...series.map(({ name, values, number }) => {
                const drawn = F.curve(at, values, number);
                drawn.classList.toggle("plain", name !== here().advice);
                return drawn;
            }),
            ...series.flatMap(({ values, number }) => values.map(([each, [mean]]) => svg("circle", { class: `dot s${number}`, cx: at.x(each), cy: at.y(mean), r: 3.5 }))),
            ...(narrow ? [] : F.labels(at.right + 10, [...series.map(({ name, number, values }) => [at.y(values.at(-1)[1][0]), name, `s${number}`]), [at.y(target.chance), "chance", ""]],
                { low: at.top, high: at.bottom })));
        return narrow ? [at.node, el("ul", { class: "play-names" }, series.map(({ name, number }) => el("li", { class: `s${number}` }, name)))] : at.node;
    }

    place.append(
        el("div", { class: "play-controls" }, backbone, targets, slider), says,
        el("div", { class: "play-beside" }, rows, book),
        el("h3", {}, "From few images to many"), overview, table);
    offer();
    take(target);
});
