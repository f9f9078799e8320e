/** Charts of the two pages: bars of probabilities, a learning curve, a confusion matrix. Words stand beside colors. */

import { el, percent, svg } from "./dom.js";

const LEFT = 46, RIGHT = 58, TOP = 14, FOOT = 46, HEIGHT = 270;

/** The likeliest classes as bars, the longest first. */
export function bars(chances, names, count = 5) {
    const order = chances.map((chance, k) => [chance, k]).sort((a, b) => b[0] - a[0]).slice(0, count);
    return el("ol", { class: "bars" }, order.map(([chance, k]) => el("li", {},
        el("span", { class: "name" }, names[k]),
        el("span", { class: "track" }, el("span", { class: "bar", style: `width: ${100 * chance}%` })),
        el("span", { class: "value" }, percent(chance)))));
}

/**
 * Accuracy over photos per class.
 * @param {{size: number, draws: number[], mean: number}[]} points from `curve`
 * @param {number} classes
 * @param {number} width in pixels
 */
export function learningCurve(points, classes, width) {
    const most = Math.max(2, points.at(-1).size), chance = 1 / classes;
    const x = (size) => LEFT + ((width - LEFT - RIGHT) * (size - 1)) / (most - 1);
    const y = (value) => TOP + (HEIGHT - TOP - FOOT) * (1 - value);
    const last = points.at(-1);
    const told = points.map(({ size, mean }) => `${size}: ${percent(mean)}`).join(", ");
    const ticks = [...new Set([1, Math.round((most + 1) / 2), most])];
    return svg("svg", {
        class: "curve", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
        "aria-label": `Accuracy on held-out photos by photos per class: ${told}. By chance: ${percent(chance)}.`,
    },
        [0, 0.25, 0.5, 0.75, 1].map((value) => [
            svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
            svg("text", { class: "side", x: LEFT - 8, y: y(value) + 4 }, percent(value)),
        ]),
        svg("line", { class: "chance", x1: LEFT, x2: width - RIGHT, y1: y(chance), y2: y(chance) }),
        svg("text", { class: "note", x: width - RIGHT + 6, y: y(chance) + 4 }, "chance"),
        ticks.map((size) => svg("text", { class: "foot", x: x(size), y: HEIGHT - FOOT + 18 }, size)),
        svg("text", { class: "foot", x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 8 }, "photos to learn from, per class"),
        points.map(({ size, draws }) => draws.map((value) => svg("circle", { cx: x(size), cy: y(value), r: 3 }))),
        svg("polyline", { points: points.map(({ size, mean }) => `${x(size)},${y(mean)}`).join(" ") }),
        svg("circle", { class: "last", cx: x(last.size), cy: y(last.mean), r: 6 }),
        svg("text", { class: "value", x: x(last.size) + 11, y: y(last.mean) + 5 }, percent(last.mean)));
}

/** Photos by their class and by what the network said. */
export function confusionTable(table, names) {
    const most = Math.max(1, ...table.flat());
    const cell = (count, row, column) => el("td", {
        class: row === column ? "right" : count ? "wrong" : "none",
        style: `--share: ${Math.round((100 * count) / most)}%`,
    }, count || "·");
    return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusions" },
        el("table", { class: "confusion" },
            el("thead", {}, el("tr", {}, el("td", { class: "corner" }, "is ↓ said →"),
                names.map((name) => el("th", { scope: "col" }, name)))),
            el("tbody", {}, table.map((counts, row) => el("tr", {},
                el("th", { scope: "row" }, names[row]), counts.map((count, column) => cell(count, row, column)))))));
}
