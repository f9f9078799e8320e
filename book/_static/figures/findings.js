// The doctor's findings by symptom, severity and cost, or by words.
for (const table of document.querySelectorAll("table.findings")) {
    const { el } = Figures, rows = [...table.tBodies[0].rows], symptoms = JSON.parse(table.dataset.symptoms);
    const found = el("p", { class: "findings-found", "aria-live": "polite" });
    const words = el("input", { type: "search", placeholder: "rate, BatchNorm, labels …", oninput: show });
    const select = (options) => el("select", { onchange: show }, options.map(([value, text]) => el("option", { value }, text)));
    const symptom = select([["", "any"], ...symptoms.map((text, i) => [i, text])]);
    const severity = select([["", "any"], ["error", "error"], ["warning", "warning"], ["note", "note"]]);
    const cost = select([["", "any"], [0.1, "a measured loss"], [5, "more than 5 points"], [20, "more than 20 points"]]);

    function show() {
        const asked = words.value.toLowerCase().trim();
        let count = 0;
        for (const row of rows) {
            row.hidden = (symptom.value !== "" && !row.dataset.symptoms.split(" ").includes(symptom.value))
                || (severity.value !== "" && row.dataset.severity !== severity.value)
                || (cost.value !== "" && +row.dataset.lost < +cost.value)
                || !row.textContent.toLowerCase().includes(asked);
            count += !row.hidden;
        }
        found.textContent = `${count} of ${rows.length} findings`;
    }

    table.parentElement.before(el("div", { class: "doctor-filter" }, el("label", {}, "Symptom ", symptom), el("label", {}, "Severity ", severity),
        el("label", {}, "Accuracy lost ", cost), el("label", {}, "Words ", words)), found);
    show();
}
