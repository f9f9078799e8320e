// What a quiz answers is read out by a screen reader: its place has to be marked before words appear in it.
new MutationObserver(() => {
    for (const place of document.querySelectorAll(".Feedback:not([aria-live])")) place.setAttribute("aria-live", "polite");
}).observe(document, { childList: true, subtree: true });
