// What the figures to play with have in common: elements, controls, axes, and the sentence that is read aloud.
// A figure is `Figures.start(name, make)`; `make(place, data)` builds it from the JSON that the page holds.
// Plain scripts, no modules: those a browser refuses on pages that were opened from a folder.
window.Figures = (() => {
    const SPACE = "http://www.w3.org/2000/svg";

    function fill(node, attributes = {}, ...children) {
        for (const [key, value] of Object.entries(attributes)) {
            if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
            else if (value === true) node.setAttribute(key, "");
            else if (value !== false && value != null) node.setAttribute(key, value);
        }
        node.append(...children.flat(3).filter((child) => child != null && child !== false));
        return node;
    }
    const el = (name, ...rest) => fill(document.createElement(name), ...rest);
    const svg = (name, ...rest) => fill(document.createElementNS(SPACE, name), ...rest);

    /** Numbers as they are shown: a fraction in percent, a learning rate. */
    const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;
    const points = (fraction) => `${fraction < 0 ? "\u2212" : "+"}${Math.abs(100 * fraction).toFixed(1)} points`;
    const rate = (value) => {
        const rounded = +value.toPrecision(2);
        return rounded === 0 || rounded >= 0.001 ? `${rounded}` : rounded.toExponential(1).replace(".0e", "e").replace("-", "\u2212");
    };
    const within = ([mean, half]) => `${(100 * mean).toFixed(1)} \u00b1 ${(100 * half).toFixed(1)} %`;

    let made = 0;
    const name = () => `play-${(made += 1)}`;

    /** A slider over stops with names; arrow keys move it, a screen reader reads the name of the stop. */
    function slider(label, stops, index, change) {
        const id = name(), shown = el("output", { for: id });
        const input = el("input", { type: "range", id, min: 0, max: stops.length - 1, step: 1, value: index });
        const told = () => {
            shown.textContent = stops[input.valueAsNumber];
            input.setAttribute("aria-valuetext", stops[input.valueAsNumber]);
        };
        input.addEventListener("input", () => { told(); change(input.valueAsNumber); });
        told();
        const node = el("div", { class: "play-slider" }, el("label", { for: id }, label), input, shown);
        node.move = (to) => { input.value = to; told(); };
        node.renew = (names, to) => { stops = names; input.max = names.length - 1; node.move(to); };
        return node;
    }

    /** One of several, as radio buttons that look like one bar; `options` are [value, words, disabled]. */
    function choice(legend, options, chosen, change) {
        const group = name();
        return el("fieldset", { class: "play-choice" }, el("legend", {}, legend), el("div", {}, options.map(([value, words, off]) => {
            const id = name();
            return [
                el("input", { type: "radio", id, name: group, value, checked: value === chosen, disabled: off, onchange: () => change(value) }),
                el("label", { for: id, title: off ? "not measured yet" : null }, words),
            ];
        })));
    }

    /** The sentence below a figure: what is seen, read aloud whenever it changes. */
    function live() {
        const node = el("p", { class: "play-says", "aria-live": "polite" });
        node.say = (...parts) => { if (node.textContent !== parts.map((part) => part.textContent ?? part).join("")) node.replaceChildren(...parts); };
        return node;
    }

    /** The numbers of a figure as a table, folded. */
    function numbers(words = "The numbers") {
        const place = el("div", { class: "play-scroll", tabindex: 0, role: "region", "aria-label": words });
        const node = el("details", { class: "play-numbers" }, el("summary", {}, words), place);
        node.show = (header, rows) => place.replaceChildren(el("table", {},
            el("thead", {}, el("tr", {}, header.map((words) => el("th", { scope: "col" }, words)))),
            el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell)))))));
        return node;
    }

    /** A place that is drawn anew when its width changes; call `.draw()` when what it shows changes. */
    function canvas(paint, attributes = {}) {
        const node = el("div", { class: "play-canvas", ...attributes });
        let width = 0;
        node.draw = () => { if (width) node.replaceChildren(...[paint(width)].flat()); };
        new ResizeObserver(([entry]) => {
            const now = Math.floor(entry.contentRect.width);
            if (now && now !== width) { width = now; node.draw(); }
        }).observe(node);
        return node;
    }

    const linear = ([low, high], [from, to]) => (value) => from + ((value - low) / (high - low)) * (to - from);
    const logarithmic = ([low, high], range) => {
        const along = linear([Math.log(low), Math.log(high)], range);
        return (value) => along(Math.log(Math.max(value, low)));
    };

    /**
     * Axes: an SVG of this width and height with `x` and `y` scales.
     * @param {object} sizes width, height, left, right, top, foot in pixels
     * @param {object} x domain, ticks as [value, words], label, log
     * @param {object} y likewise
     * @param {string} told what a screen reader says of the picture
     */
    function axes({ width, height, left = 46, right = 16, top = 30, foot = 44 }, x, y, told) {
        const across = (x.log ? logarithmic : linear)(x.domain, [left, width - right]);
        const up = (y.log ? logarithmic : linear)(y.domain, [height - foot, top]);
        const node = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told },
            y.ticks.map(([value, words]) => [
                svg("line", { class: "grid", x1: left, x2: width - right, y1: up(value), y2: up(value) }),
                svg("text", { class: "side", x: left - 7, y: up(value) + 4 }, words),
            ]),
            x.ticks.map(([value, words]) => svg("text", { class: "foot", x: across(value), y: height - foot + 18 }, words)),
            x.label && svg("text", { class: "foot name", x: (left + width - right) / 2, y: height - 6 }, x.label),
            y.label && svg("text", { class: "head name", x: 2, y: 11 }, y.label));
        return { node, x: across, y: up, left, right: width - right, top, bottom: height - foot };
    }

    const path = (places) => places.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    const line = (places, attributes) => svg("path", { class: "line", d: path(places), ...attributes });
    const band = (upper, lower, attributes) => svg("path", { class: "band", d: `${path([...upper, ...lower.toReversed()])}Z`, ...attributes });
    const rule = (at, x, attributes = {}) => svg("line", { class: "rule", x1: x, x2: x, y1: at.top, y2: at.bottom, ...attributes });

    /** A line of means with the band of its intervals; `values` are [x, [mean, half]]. */
    function curve(at, values, number) {
        const edge = (sign) => values.map(([x, [mean, half]]) => [at.x(x), at.y(Math.min(1, Math.max(0, mean + sign * half)))]);
        return svg("g", { class: `s${number}` }, band(edge(1), edge(-1)), line(values.map(([x, [mean]]) => [at.x(x), at.y(mean)])));
    }

    /** Labels [y, words, class] moved apart until none touches the next. */
    function labels(x, wanted, { gap = 15, low = 8, high = Infinity, anchor = "start" } = {}) {
        const placed = wanted.map(([y, ...rest]) => [y, ...rest]).sort((a, b) => a[0] - b[0]);
        for (let i = 1; i < placed.length; i += 1) placed[i][0] = Math.max(placed[i][0], placed[i - 1][0] + gap);
        let roof = high;
        for (let i = placed.length - 1; i >= 0; i -= 1) { placed[i][0] = Math.max(low, Math.min(placed[i][0], roof)); roof = placed[i][0] - gap; }
        return placed.map(([y, words, kind]) => svg("text", { class: `label ${kind}`, x, y: y + 4, "text-anchor": anchor }, words));
    }

    const PERCENT = [0, 0.25, 0.5, 0.75, 1].map((value) => [value, `${100 * value} %`]);

    /** Build every figure of this name on the page. */
    function start(figure, make) {
        for (const place of document.querySelectorAll(`.play[data-figure="${figure}"]`)) {
            const data = JSON.parse(place.querySelector("script").textContent);
            place.hidden = false;
            make(place.querySelector(".play-place"), data, place);
        }
    }

    return { el, svg, percent, points, rate, within, slider, choice, live, numbers, canvas, linear, logarithmic, axes, line, band, rule, curve, labels, start, PERCENT };
})();
