// A term of the glossary shows its definition on hover and on focus, until Escape; a link's title shows it without this script.
(() => {
    const box = Object.assign(document.createElement("span"), { className: "term-means", id: "term-means", hidden: true });
    box.setAttribute("role", "tooltip");
    let shown = null, waiting = 0;

    function show(link) {
        clearTimeout(waiting);
        if (link.title) {
            link.dataset.means = link.title;
            link.removeAttribute("title");
        }
        if (!link.dataset.means || shown === link) return;
        hide();
        shown = link;
        box.textContent = link.dataset.means;
        box.hidden = false;
        link.setAttribute("aria-describedby", box.id);
        const place = link.getBoundingClientRect(), wide = document.documentElement.clientWidth, below = place.bottom + box.offsetHeight + 8 < innerHeight;
        box.style.left = `${Math.max(8, Math.min(place.left, wide - box.offsetWidth - 8)) + scrollX}px`;
        box.style.top = `${(below ? place.bottom + 4 : place.top - box.offsetHeight - 4) + scrollY}px`;
    }

    function hide() {
        clearTimeout(waiting);
        box.hidden = true;
        shown?.removeAttribute("aria-describedby");
        shown = null;
    }

    const term = (event) => event.target.closest?.(".bd-article a:has(> .std-term)");
    const soon = () => { clearTimeout(waiting); waiting = setTimeout(hide, 200); };
    document.addEventListener("mouseover", (event) => (term(event) ? show(term(event)) : box.contains(event.target) ? clearTimeout(waiting) : shown && document.activeElement !== shown && soon()));
    document.addEventListener("focusin", (event) => (term(event) ? show(term(event)) : hide()));
    document.addEventListener("focusout", soon);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    document.body.append(box);
})();
