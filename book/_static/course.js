// What a quiz answers is read out by a screen reader: its place has to be marked before words appear in it.
new MutationObserver(() => {
    for (const place of document.querySelectorAll(".Feedback:not([aria-live])")) place.setAttribute("aria-live", "polite");
}).observe(document, { childList: true, subtree: true });

// Minutes and progress: lessons that the reader has marked as done, kept in this browser and nowhere else.
document.addEventListener("DOMContentLoaded", () => {
    const stem = link => (new URL(link, location).pathname.match(/notebooks\/(\d\d_\w+)\.html$/) || [])[1];
    const read = () => { try { return JSON.parse(localStorage.getItem("course-done")) || []; } catch { return []; } };
    const here = stem(location);
    const mark = () => {
        const done = read();
        for (const link of document.querySelectorAll(".bd-sidebar-primary a[href], .lessons a[href]")) {
            const name = link.getAttribute("href") === "#" ? here : stem(link.href);
            if (!(name in COURSE_MINUTES)) continue;
            link.classList.toggle("done", done.includes(name));
            if (link.closest(".bd-sidebar-primary")) link.dataset.minutes = `${COURSE_MINUTES[name]} min`;
        }
        if (!button) return;
        button.setAttribute("aria-pressed", done.includes(here));
        button.textContent = done.includes(here) ? "Done" : "Mark as done";
    };
    const end = here in COURSE_MINUTES && document.querySelector("article.bd-article");
    const button = end && document.createElement("button");
    if (button) {
        button.type = "button";
        const place = document.createElement("p");
        place.className = "progress-note d-print-none";
        place.append(button, " Kept in this browser only.");
        end.append(place);
        button.addEventListener("click", () => {
            const done = read();
            localStorage.setItem("course-done", JSON.stringify(done.includes(here) ? done.filter(name => name !== here) : [...done, here]));
            mark();
        });
    }
    mark();
});

// A link to something that is folded unfolds it.
const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest("details:not([open])");
    if (!folded) return;
    folded.open = true;
    folded.scrollIntoView();
};
addEventListener("hashchange", unfold);
document.addEventListener("DOMContentLoaded", unfold);
