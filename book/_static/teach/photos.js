/** The photos of each class: which are learned from, which are held out, and their features. */

/** Of photos that a reader adds, every so-manieth is held out. */
const HELD_EVERY = 3;

export class Photos {
    constructor() {
        this.classes = [];
        this.add("");
        this.add("");
    }

    add(name) {
        this.classes.push({ name, photos: [] });
    }

    /** Put photos into a class. `held` says whether they are held out; left out, every third one is. */
    put(label, blobs, held = null) {
        const { photos } = this.classes[label];
        for (const blob of blobs) {
            photos.push({ blob, held: held ?? photos.length % HELD_EVERY === HELD_EVERY - 1, features: {}, thumb: null });
        }
    }

    names() {
        return this.classes.map(({ name }, k) => name.trim() || `class ${k + 1}`);
    }

    all() {
        return this.classes.flatMap(({ photos }) => photos);
    }

    /** Photos whose features for a network are still to be computed. */
    waiting(network) {
        return this.all().filter((photo) => !photo.features[network]);
    }

    /** Photos with features, as { photo, label, features }, with labels 0, 1 ... of the classes that have any. */
    ready(network, held) {
        return this.classes.flatMap(({ photos }, label) => photos
            .filter((photo) => photo.held === held && photo.features[network])
            .map((photo) => ({ photo, label, features: photo.features[network] })));
    }

    /** Why a head cannot be trained yet, in words for the reader; null if it can. */
    lacks(network) {
        const learning = this.ready(network, false), held = this.ready(network, true);
        const without = this.names().filter((_, k) => !learning.some(({ label }) => label === k));
        if (without.length) return `Add photos to ${without.map((name) => `“${name}”`).join(" and ")}.`;
        return held.length ? null : "Add a few more: every third photo is held out, to test on.";
    }
}

/** Prepared tiles of a sheet as PNG files: those from `first` on, `count` of them. */
export async function tiles(url, { tile, columns }, first, count) {
    const sheet = await createImageBitmap(await (await fetch(url)).blob());
    return Promise.all(Array.from({ length: count }, (_, i) => {
        const canvas = Object.assign(document.createElement("canvas"), { width: tile, height: tile });
        const [row, column] = [Math.trunc((first + i) / columns), (first + i) % columns];
        canvas.getContext("2d").drawImage(sheet, -column * tile, -row * tile);
        return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    }));
}
