/** Elements in one line each: what the two pages build their parts with. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes that begin with "on" are listeners, those that are false or missing are left out. */
export function el(name, attributes = {}, ...children) {
    return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
    return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) {
        if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
        else if (value === true) node.setAttribute(key, "");
        else if (value !== false && value != null) node.setAttribute(key, value);
    }
    node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return node;
}

export function percent(fraction) {
    return `${Math.round(100 * fraction)} %`;
}

export function many(count, word) {
    return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** Let the browser draw and answer before going on. */
export function breathe() {
    return new Promise((resolve) => setTimeout(resolve));
}

/** A button that opens the file dialog; the photos chosen go to `take` as a list of files. */
export function fileButton(words, take, { multiple = true, ...attributes } = {}) {
    const input = el("input", { type: "file", accept: "image/*", multiple, hidden: true, tabindex: -1 });
    input.addEventListener("change", () => {
        take([...input.files]);
        input.value = "";
    });
    return el("span", {}, el("button", { type: "button", onclick: () => input.click(), ...attributes }, words), input);
}

/** Let photos be dropped onto an element. */
export function dropZone(node, take) {
    const mark = (on) => (event) => {
        event.preventDefault();
        node.classList.toggle("over", on);
    };
    node.addEventListener("dragover", mark(true));
    node.addEventListener("dragleave", mark(false));
    node.addEventListener("drop", (event) => {
        mark(false)(event);
        const files = [...event.dataTransfer.files].filter((file) => file.type.startsWith("image/"));
        if (files.length) take(files);
    });
    return node;
}

/** Save bytes as a file on the reader's computer. */
export function download(name, bytes) {
    const url = URL.createObjectURL(new Blob([bytes]));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}
