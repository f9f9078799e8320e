/** The page "Try it": a trained flower classifier on prepared flowers, on other images, and on the reader's photos. */

import { bars } from "./charts.js";
import { dropZone, el, fileButton } from "./dom.js";
import { open } from "./engine.js";
import { scores, similarity, softmax } from "./head.js";
import { evidence, picture } from "./looked.js";
import { tiles } from "./photos.js";
import { readHead, readTensors } from "./saved.js";

const HOME = new URL("./", import.meta.url);
const prepared = await (await fetch(new URL("prepared.json", HOME))).json();
const stored = async (file) => (await fetch(new URL(file, HOME))).arrayBuffer();
const head = readHead(await stored("flowers.safetensors"));
const { means } = readTensors(await stored("flower_means.safetensors")).tensors;
const { classes, threshold, backbone: network } = head.about;
let turn = 0;
let opened = false;
let next = 0; // which prepared flower is drawn next

const stage = el("div", { class: "stack" });
const answer = el("div", { class: "answer", role: "status" });
const gallery = el("div", { class: "gallery", role: "group", "aria-label": "Images to try" });
const switched = el("input", { type: "checkbox", checked: true });
switched.addEventListener("change", () => stage.classList.toggle("plain", !switched.checked));
const take = ([file]) => classify(file);

document.getElementById("try").replaceChildren(
    el("div", { class: "line" },
        el("button", { type: "button", class: "main", onclick: drawAnother }, "Draw a new flower"),
        fileButton("Your own photo", take, { multiple: false }),
        el("span", { class: "private" }, "A photo stays on this computer; nothing is sent.")),
    gallery,
    dropZone(el("div", { class: "pair trial" },
        el("div", {}, stage, el("label", { class: "switch" }, switched, " Show where it looked")), answer), take));
answer.append(el("p", {}, "Choose an image above, or let a new flower be drawn."));
showGallery();

async function showGallery() {
    const { file, items } = prepared.gallery;
    const blobs = await tiles(new URL(file, HOME), prepared, 0, items.length);
    for (const [i, { name, about }] of items.entries()) {
        const image = el("img", { src: URL.createObjectURL(blobs[i]), alt: about, width: 96, height: 96 });
        gallery.append(el("button", { type: "button", onclick: () => classify(blobs[i], name, about) }, image));
    }
}

async function drawAnother() {
    const { file, labels } = prepared.unseen;
    const [blob] = await tiles(new URL(file, HOME), prepared, next, 1);
    const name = classes[labels[next]];
    next = (next + 1) % labels.length;
    await classify(blob, name);
}

/** Show what the network says about an image; `name` is the right answer, where there is one. */
async function classify(image, name = null, about = "The image, as the network sees it") {
    const own = (turn += 1);
       const waiting = opened ? "Looking …" : "Fetching the network (4 MB) and the engine that runs it (14 MB), once …";
    answer.replaceChildren(el("p", {}, waiting));
    try {
        const backbone = await open(network);
        opened = true;
        const { seen, map, features, milliseconds } = await backbone.look(image);
        if (own === turn) show(seen, map, features, milliseconds, name, about);
    } catch (error) {
        answer.replaceChildren(el("p", {}, `This could not be classified (${error.message}).`));
    }
}

function show(seen, map, features, milliseconds, name, about) {
    const chances = softmax(scores(head, features));
    const said = chances.indexOf(Math.max(...chances)), known = similarity(features, means) >= threshold;
    const over = picture(seen, evidence(map, head, said));
    over.classList.add("over");
    over.removeAttribute("role");
    over.setAttribute("aria-hidden", "true");
    stage.replaceChildren(picture(seen, null, about), over);
    const verdict = known ? `This is ${named(classes[said])}.` : "This is no flower I know.";
    const right = known ? classes[said] === name : !classes.includes(name);
    const truth = name ? `${right ? "Right" : "Wrong"}: it is ${named(name)}. ` : "";
    answer.replaceChildren(
        el("p", { class: known ? "verdict" : "verdict unknown" }, verdict),
        el("p", { class: "evidence" }, truth, known ? "" : "If it had to be one of the twenty:"),
        bars(chances, classes),
        el("p", { class: "evidence" }, `${Math.round(milliseconds)} ms for the network`));
}

/** "star brindel" as "a star brindel". */
function named(flower) {
    return `${/^[aeiou]/.test(flower) ? "an" : "a"} ${flower}`;
}
