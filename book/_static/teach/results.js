/** What a trained head can do, shown: accuracy, learning curve, confusions, mistakes, a further photo, the download. */

import { bars, confusionTable, learningCurve } from "./charts.js";
import { breathe, download, dropZone, el, fileButton, many, percent } from "./dom.js";
import { scores, softmax } from "./head.js";
import { evidence, picture } from "./looked.js";
import { accuracy, confusion, curve, DRAWS, interval, mistakes } from "./measure.js";
import { headFile, zip } from "./saved.js";

const SHOWN = 6;

export class Results {
    constructor(photos) {
        this.photos = photos;
        this.turn = 0;
        this.number = el("p", { class: "number" });
        this.words = el("p", { class: "evidence" });
        this.chart = el("div", { class: "chart" });
        this.table = el("div", {});
        this.mistakes = el("div", {});
        this.tried = el("div", { class: "tried" });
        this.notes = el("p", { class: "notes", role: "status" });
        this.node = el("section", { class: "results", hidden: true, "aria-label": "What it has learned" },
            el("div", { class: "pair" },
                el("div", {}, el("h2", {}, "What it has learned"), this.number, this.words),
                el("figure", {}, this.chart, el("figcaption", {},
                    `More photos, better answers? The line is the mean over ${DRAWS} random choices of photos, a dot is one choice.`))),
            el("div", { class: "pair" },
                el("div", {}, el("h2", {}, "What it confuses"), this.table),
                el("div", {}, el("h2", {}, "Ask it"), this.asking(), this.tried)),
            this.mistakes, this.notes,
            el("h2", {}, "Take it with you"),
            el("p", {}, "The network, the trained head and the class names in one zip archive. On your computer, ",
                el("code", {}, "transfer predict my-network photo.jpg"), " gives the same answers."),
            el("button", { type: "button", onclick: () => this.save() }, "Download the network"));
    }

    hide() {
        this.turn += 1;
        this.node.hidden = true;
    }

    note(words) {
        this.notes.textContent = words;
    }

    /** Show everything about a head; a later call overtakes an earlier one that is still drawing. */
    async show(trained) {
        const turn = (this.turn += 1);
        Object.assign(this, trained);
        const { rows, training, backbone, seconds } = trained;
        const right = rows.filter((row) => row.right).length, [low, high] = interval(right, rows.length);
        const classes = this.photos.classes.length;
        this.node.hidden = false;
        this.number.textContent = percent(accuracy(rows));
        this.words.textContent =
            `of held-out photos are classified correctly: ${right} of ${rows.length}. With so many to test on, the true ` +
            `figure lies between ${percent(low)} and ${percent(high)} (95 % interval); by chance it would be ` +
            `${percent(1 / classes)}. The head learned from ${many(training.length, "photo")} in ${seconds.toFixed(2)} s: ` +
            `${backbone.about.channels} features of each, ${classes} classes.`;
        this.table.replaceChildren(confusionTable(confusion(rows, classes), this.photos.names()));
        this.tried.replaceChildren();
        await this.drawCurve(turn);
        await this.showMistakes(turn);
    }

    async drawCurve(turn) {
        const points = [], classes = this.photos.classes.length;
        const width = Math.max(280, Math.min(560, this.chart.clientWidth));
        for (const point of curve(this.training, this.held, classes)) {
            points.push(point);
            await breathe();
            if (turn !== this.turn) return;
        }
        this.chart.replaceChildren(learningCurve(points, classes, width));
    }

    async showMistakes(turn) {
        const wrong = mistakes(this.rows), sure = (row) => row.chances[row.predicted];
        const least = [...this.rows].sort((a, b) => sure(a) - sure(b));
        const figures = [];
        for (const row of (wrong.length ? wrong : least).slice(0, SHOWN)) {
            figures.push(await this.looked(row));
            if (turn !== this.turn) return;
        }
        const heading = wrong.length ? "Its most confident mistakes" : "No mistakes: where it was least sure";
        const switched = el("input", { type: "checkbox", checked: true });
        const shown = el("div", { class: "looks" }, figures);
        switched.addEventListener("change", () => shown.classList.toggle("plain", !switched.checked));
        this.mistakes.replaceChildren(el("h2", {}, heading),
            el("label", { class: "switch" }, switched, " Show where it looked: bright parts speak for the answer that it gave"), shown);
    }

    /** A held-out photo with where the network looked, and what it said. */
    async looked({ photo, chances, predicted, right }) {
        const names = this.photos.names(), said = names[predicted], is = names[photo.label];
        const { seen, map } = await this.backbone.look(photo.photo.blob);
        return el("figure", { class: "look" },
            this.stack(seen, evidence(map, this.head, predicted), right ? `A photo of ${is}` : `A photo of ${is}, taken for ${said}`),
            el("figcaption", {}, el("b", {}, `${said} `), percent(chances[predicted]), right ? null : [el("br"), `is ${is}`]));
    }

    stack(seen, values, words) {
        const over = picture(seen, values);
        over.classList.add("over");
        over.removeAttribute("role");
        over.setAttribute("aria-hidden", "true");
        return el("div", { class: "stack" }, picture(seen, null, words), over);
    }

    asking() {
        const take = ([file]) => this.ask(file);
        return dropZone(el("div", { class: "ask" },
            fileButton("Choose a photo", take, { multiple: false }),
            " or drop one here. Try something that is in none of your classes, too: it has to name one of them."), take);
    }

    /** One more photo, of whatever it may be. */
    async ask(file) {
        try {
            const { seen, map, features, milliseconds } = await this.backbone.look(file);
            const chances = softmax(scores(this.head, features)), said = chances.indexOf(Math.max(...chances));
            this.tried.replaceChildren(
                this.stack(seen, evidence(map, this.head, said), "Your photo, the square that the network sees"),
                el("div", {}, bars(chances, this.photos.names()), el("p", { class: "evidence" }, `${Math.round(milliseconds)} ms for the network`)));
        } catch {
            this.tried.replaceChildren(`${file.name} could not be read as a photo.`);
        }
    }

    async save() {
        if (!crypto.subtle) {
            this.note("The browser makes the download's checksum only on https or localhost; open the page there.");
            return;
        }
        const names = this.photos.names(), { about, bytes } = this.backbone;
        const model = await headFile(this.head, names, this.backbone, {
            task: "taught in the browser", images: this.training.length, held_out_accuracy: accuracy(this.rows),
        });
        const readable = {
            classes: names, weights: this.head.weights.map((row) => [...row]), biases: this.head.biases,
            preprocessing: about.preprocessing, network: about.file,
        };
        download("my-network.zip", zip({
            "my-network/model.safetensors": model,
            [`my-network/${about.file}`]: bytes,
            "my-network/head.json": JSON.stringify(readable),
            "my-network/README.txt": README(about),
        }));
        this.note("my-network.zip is in your downloads.");
    }
}

function README({ file, channels, preprocessing }) {
    const side = preprocessing.image_size;
    return `A network that you taught in the browser.

With the course installed, unpack the archive, and:

    transfer predict my-network photo.jpg

reads model.safetensors (the head, the class names, and which backbone they belong to).

Without the course: ${file} takes pixels 0 to 255, float32 (N, 3, ${side}, ${side}), and gives the last feature
map, (N, ${channels}, h, w). Its mean over h and w are the features; head.json has the head: scores = weights x features
+ biases, one for each of its classes, and how photos are resized and cropped.
`;
}
