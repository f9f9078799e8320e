/** The page "Teach it yourself": photos into classes, features from a pretrained network, a head trained on them. */

import { photograph } from "./camera.js";
import { breathe, dropZone, el, fileButton, many, percent } from "./dom.js";
import { networks, open } from "./engine.js";
import { train } from "./head.js";
import { test } from "./measure.js";
import { Photos, tiles } from "./photos.js";
import { Results } from "./results.js";

const HOME = new URL("./", import.meta.url);
const FEW = 2;
const SHOWN = 12;
const CAMERA = Boolean(navigator.mediaDevices?.getUserMedia);

const photos = new Photos();
const known = await networks();
const prepared = await (await fetch(new URL("prepared.json", HOME))).json();
let network = Object.keys(known)[0];
let drawn = 0; // how many prepared flowers of each species are learned from
let working = false;

const cards = el("div", { class: "classes" });
const status = el("p", { role: "status", class: "status" });
const progress = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Photos done" });
const more = el("button", { type: "button", class: "main", hidden: true, onclick: () => draw(FEW) }, `Add ${FEW} flowers to each class`);
const results = new Results(photos);

document.getElementById("teach").replaceChildren(
    el("div", { class: "line" },
        el("button", { type: "button", class: "main", onclick: startDrawn }, "Show me with drawn flowers"),
        el("span", {}, "or fill two classes with photos of your own.")),
    el("p", { class: "private" }, el("b", {}, "Your photos stay on this computer."), " This page does all the computing itself and sends nothing anywhere."),
    cards,
    el("div", { class: "line" }, more),
    choice(),
    el("div", { class: "doing" }, status, progress),
    results.node,
);
render();

function choice() {
    const option = ([name, about]) => el("label", {},
        el("input", { type: "radio", name: "network", value: name, checked: name === network, onchange: () => use(name) }),
        el("span", {}, el("b", {}, about.title), ` ${about.trained_on}, ${(about.bytes / 1e6).toFixed(1)} MB`));
    return el("fieldset", { class: "networks" },
        el("legend", {}, "The pretrained network"), Object.entries(known).map(option));
}

function use(name) {
    network = name;
    work();
}

function render() {
    const another = el("button", { type: "button", class: "another", onclick: addClass }, "Add a class");
    cards.replaceChildren(...photos.classes.map(card), another);
}

/** Draw one card anew; whoever is in it with the keyboard stays where they were. */
function redraw(label) {
    const old = cards.children[label], fresh = card(photos.classes[label], label);
    const place = old.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    old.replaceWith(fresh);
    if (place) fresh.querySelector(`[aria-label="${CSS.escape(place)}"]`)?.focus();
}

/** `data-says` and the class's name are the label of a part of a card; `rename` writes them anew. */
function card(each, label) {
    const name = photos.names()[label];
    const says = (words) => ({ "data-says": words, "aria-label": `${words} ${name}` });
    const learning = each.photos.filter((photo) => !photo.held).length;
    const take = (files) => add(label, files);
    const button = (words, says, onclick) => el("button", { type: "button", ...says, onclick }, words);
    return dropZone(el("section", { class: "class", ...says("Class") },
        el("input", {
            type: "text", value: each.name, placeholder: `class ${label + 1}`, "aria-label": `Name of class ${label + 1}`,
            oninput: (event) => (each.name = event.target.value), onchange: () => rename(label),
        }),
        each.photos.length
            ? el("p", { class: "count" }, `${learning} to learn from · ${each.photos.length - learning} held out`)
            : el("p", { class: "hint" }, "Drop photos here"),
        thumbs(each.photos, label),
        el("div", { class: "line" },
            fileButton("Add photos", take, says("Add photos to")),
            CAMERA && button("Camera", says("Camera for"), () => shoot(label)),
            each.photos.length > 0 && button("Empty", says("Empty"), () => empty(label)))), take);
}

function thumbs(list, label) {
    const learning = list.filter((photo) => !photo.held), held = list.filter((photo) => photo.held);
    const shown = [...learning.slice(-SHOWN), ...held.slice(0, Math.max(3, SHOWN - learning.length))];
    const rest = list.length - shown.length;
    for (const photo of shown) {
        photo.button = el("button", {
            type: "button", class: photo.held ? "held" : "", "aria-pressed": String(photo.held),
            "aria-label": `Photo ${list.indexOf(photo) + 1}: hold out`, onclick: () => turn(photo, label),
            title: photo.held ? "Held out. Press to learn from it." : "Learned from. Press to hold it out.",
        }, photo.thumb);
    }
    return el("div", { class: "thumbs" }, shown.map(({ button }) => button), rest > 0 && el("span", { class: "rest" }, `+ ${rest}`));
}

function add(label, files, held = null) {
    photos.put(label, files, held);
    redraw(label);
    work();
}

function turn(photo, label) {
    photo.held = !photo.held;
    redraw(label);
    photo.button.focus();
    learn();
}

function empty(label) {
    photos.classes[label].photos = [];
    redraw(label);
    cards.children[label].querySelector("button").focus();
    learn();
}

function rename(label) {
    const whole = cards.children[label];
    for (const part of [whole, ...whole.querySelectorAll("[data-says]")]) {
        part.setAttribute("aria-label", `${part.dataset.says} ${photos.names()[label]}`);
    }
    learn();
}

function addClass() {
    photos.add("");
    render();
    learn();
    cards.children[photos.classes.length - 1].querySelector("input").focus();
}

async function shoot(label) {
    try {
        await photograph(photos.names()[label], (photo) => add(label, [photo]));
    } catch (error) {
        say(`The camera cannot be used (${error.message}). Add photos from files instead.`);
    }
}

async function startDrawn() {
    photos.classes = prepared.teach.map(({ name }) => ({ name, photos: [] }));
    drawn = 0;
    say("Unpacking the drawn flowers …");
    for (const [label, { file }] of prepared.teach.entries()) {
        photos.put(label, await tiles(new URL(file, HOME), prepared, prepared.training, prepared.held), true);
    }
    await draw(FEW);
}

async function draw(count) {
    for (const [label, { file }] of prepared.teach.entries()) {
        if (photos.classes[label]) photos.put(label, await tiles(new URL(file, HOME), prepared, drawn, count), false);
    }
    drawn += count;
    more.hidden = drawn + FEW > prepared.training;
    render();
    await work();
}

function say(words) {
    status.textContent = words;
}

/** Compute the features that are missing, one photo at a time, then train. */
async function work() {
    if (working) return;
    if (!photos.waiting(network).length) {
        await learn();
        return;
    }
    working = true;
    try {
        say("Fetching the network and the engine that runs it; the first time this is 18 MB …");
        const backbone = await open(network);
        while (backbone.name === network && photos.waiting(network).length) {
            const all = photos.all().length, done = all - photos.waiting(network).length;
            Object.assign(progress, { hidden: false, max: all, value: done });
            say(`Features of photo ${done + 1} of ${all} …`);
            await look(backbone, photos.waiting(network)[0]);
            await breathe();
        }
    } catch (error) {
        say(`This browser cannot run the network (${error.message}).`);
        return;
    } finally {
        working = false;
        progress.hidden = true;
    }
    await work(); // for another network, or photos that came meanwhile
}

async function look(backbone, photo) {
    try {
        const { seen, features } = await backbone.look(photo.blob);
        photo.features[backbone.name] = features;
        photo.thumb ??= thumb(await createImageBitmap(seen));
        photo.button?.replaceChildren(photo.thumb);
    } catch {
        const label = photos.classes.findIndex((each) => each.photos.includes(photo));
        photos.classes[label].photos = photos.classes[label].photos.filter((other) => other !== photo);
        redraw(label);
        results.note(`${photo.blob.name ?? "A file"} could not be read as a photo and was left out.`);
    }
}

function thumb(bitmap) {
    const canvas = el("canvas", { width: 96, height: 96 });
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, 96, 96);
    return canvas;
}

/** Train a head on the photos to learn from, and show what it makes of the ones held out. */
async function learn() {
    if (working) return;
    const lack = photos.lacks(network);
    if (lack) {
        results.hide();
        say(lack);
        return;
    }
    const classes = photos.classes.length;
    const training = photos.ready(network, false), held = photos.ready(network, true);
    const start = performance.now();
    const head = train(training.map((each) => each.features), training.map((each) => each.label), classes);
    const seconds = (performance.now() - start) / 1000;
    const rows = test(head, held);
    const right = rows.filter((row) => row.right).length;
    say(`Trained on ${many(training.length, "photo")} in ${seconds.toFixed(2)} s: ${right} of ${held.length} held-out photos right (${percent(right / held.length)}).`);
    await results.show({ backbone: await open(network), head, training, held, rows, seconds });
}
