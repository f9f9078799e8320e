// A search result shows the passage that was found, not the contents list of its page, and leads to that passage.
(() => {
    const REMOVED = ".headerlink, script, style, nav, #jb-print-docs-body, .play, svg, .tocwrapper";

    /** The words of a section without those of the sections in it. */
    function own(section) {
        const copy = section.cloneNode(true);
        copy.querySelectorAll("section").forEach((inner) => inner.remove());
        copy.querySelectorAll("td, th, li, p").forEach((part) => part.append(" "));
        return copy.textContent.replace(/\s+/g, " ").trim();
    }

    /** How well a text answers: first how many of the words it has, then how often. */
    function score(text, words) {
        const counts = words.map((word) => text.split(word).length - 1);
        return 100 * counts.filter(Boolean).length + Math.min(99, counts.reduce((sum, count) => sum + count, 0));
    }

    Search.makeSearchSummary = (html, keywords, anchor) => {
        const page = new DOMParser().parseFromString(html, "text/html"), words = [...keywords].map((word) => word.toLowerCase());
        page.querySelectorAll(REMOVED).forEach((each) => each.remove());
        const root = page.querySelector("article.bd-article") ?? page.querySelector('[role="main"]');
        if (!root) return null;
        const asked = anchor && root.querySelector(`[id="${CSS.escape(anchor.slice(1))}"]`);
        const sections = asked ? [asked] : [...root.querySelectorAll("section")];
        const [best] = sections.map((section) => ({ section, text: own(section) })).map((each) => ({ ...each, score: score(each.text.toLowerCase(), words) }))
            .sort((a, b) => b.score - a.score);
        if (!best?.text) return null;
        const from = Math.max(0, Math.min(...words.map((word) => best.text.toLowerCase().indexOf(word)).filter((at) => at >= 0), Infinity));
        const start = Number.isFinite(from) ? Math.max(0, best.text.lastIndexOf(" ", Math.max(0, from - 90)) + 1) : 0;
        const summary = Object.assign(document.createElement("p"), { className: "context" });
        summary.textContent = `${start ? "\u2026 " : ""}${best.text.slice(start, start + 240).trim()}${start + 240 < best.text.length ? " \u2026" : ""}`;
        const title = best.section.querySelector("h1, h2, h3, h4");
        if (best.section.id && title) Object.assign(summary.dataset, { anchor: best.section.id, title: title.textContent.trim() });
        return summary;
    };

    new MutationObserver(() => {
        for (const summary of document.querySelectorAll("#search-results li > .context[data-anchor]")) {
            const link = summary.parentElement.querySelector("a");
            if (!link.href.includes("#")) {
                link.href += `#${summary.dataset.anchor}`;
                if (!link.textContent.includes(summary.dataset.title)) link.append(` \u203a ${summary.dataset.title}`);
            }
            delete summary.dataset.anchor;
        }
    }).observe(document, { childList: true, subtree: true });
})();
