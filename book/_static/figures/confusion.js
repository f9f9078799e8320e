// The confusion matrix: a click, or Enter, on a field shows the images in it.
Figures.start("confusion", (place, data) => {
    const F = Figures, { el } = F, { classes, truth, said, sure, shown, tile, columns, sheet } = data;
    const fields = new Map();
    truth.forEach((label, i) => {
        const key = `${label} ${said[i]}`;
        fields.set(key, [...(fields.get(key) ?? []), i]);
    });
    const at = (row, column) => fields.get(`${row} ${column}`) ?? [];
    const perClass = classes.map((_, row) => truth.filter((label) => label === row).length);
    const most = Math.max(...[...fields].filter(([key]) => key.split(" ")[0] !== key.split(" ")[1]).map(([, images]) => images.length));
    const says = F.live(), images = el("div", { class: "play-images" });
    let chosen = [...fields].filter(([key]) => key.split(" ")[0] !== key.split(" ")[1]).sort((a, b) => b[1].length - a[1].length)[0][0].split(" ").map(Number);

    const buttons = classes.map((_, row) => classes.map((_, column) => {
        const count = at(row, column).length;
        return el("button", { type: "button", tabindex: -1, class: row === column ? "right" : count ? "wrong" : "none", style: `--part: ${row === column ? count / perClass[row] : count / most}`,
            "aria-label": `${classes[row]} taken for ${classes[column]}: ${count}`, title: `${classes[row]}, taken for ${classes[column]}: ${count}`,
            onclick: () => choose(row, column) }, count || "");
    }));

    function choose(row, column, focus = false) {
        const [before, other] = chosen;
        buttons[before][other].tabIndex = -1;
        buttons[before][other].removeAttribute("aria-pressed");
        chosen = [row, column];
        buttons[row][column].tabIndex = 0;
        buttons[row][column].setAttribute("aria-pressed", "true");
        if (focus) buttons[row][column].focus();
        const found = at(row, column), drawn = found.filter((i) => shown.includes(i));
        says.say(el("strong", {}, `${found.length} of ${perClass[row]} images of ${classes[row]}`), row === column ? " are named rightly. " : ` are taken for ${classes[column]}. `,
            `The other way round: ${at(column, row).length}. All together ${truth.filter((label, i) => label === said[i]).length} of ${truth.length} are right.`);
        images.replaceChildren(...drawn.map((i) => {
            const spot = shown.indexOf(i), x = (spot % columns) * tile, y = Math.floor(spot / columns) * tile;
            return el("figure", {}, el("div", { role: "img", "aria-label": `${classes[row]}, drawn; the network says ${classes[column]} with ${Math.round(100 * sure[i])} %`,
                style: `width: ${tile}px; height: ${tile}px; background: url(${sheet}) -${x}px -${y}px` }), el("figcaption", {}, `${Math.round(100 * sure[i])} %`));
        }), found.length > drawn.length ? el("p", {}, `and ${found.length - drawn.length} more`) : "");
    }

    const table = el("table", { class: "play-confusion", onkeydown: (event) => {
        const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
        if (!step) return;
        event.preventDefault();
        choose(...chosen.map((value, k) => Math.max(0, Math.min(classes.length - 1, value + step[k]))), true);
    } }, el("thead", {}, el("tr", {}, el("td", {}), classes.map((name) => el("th", { scope: "col" }, el("span", {}, name))))),
    el("tbody", {}, classes.map((name, row) => el("tr", {}, el("th", { scope: "row" }, name), buttons[row].map((button) => el("td", {}, button))))));

    place.append(el("div", { class: "play-scroll wide", role: "region", "aria-label": "Confusion matrix: rows are species, columns what the network says" }, table), says, images);
    choose(...chosen);
});
