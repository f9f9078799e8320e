/** How good a head is: accuracy on held-out photos with its interval, confusions, mistakes, and a learning curve. */

import { likeliest, scores, softmax, train } from "./head.js";

const SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192];
/** So many random choices of photos for each size; one alone would be a lottery. */
export const DRAWS = 5;

/**
 * Test a head on photos that it was not trained on.
 * @param {object} head from `train`
 * @param {{features: Float32Array, label: number}[]} photos
 * @returns one row for each photo: { photo, chances, predicted, right }
 */
export function test(head, photos) {
    return photos.map((photo) => {
        const chances = softmax(scores(head, photo.features));
        const predicted = likeliest(chances);
        return { photo, chances, predicted, right: predicted === photo.label };
    });
}

export function accuracy(rows) {
    return rows.filter((row) => row.right).length / rows.length;
}

/** The 95 % confidence interval of a fraction (Wilson): low and high, 0 to 1. */
export function interval(right, count) {
    const z = 1.96, share = right / count, z2 = (z * z) / count;
    const middle = (share + z2 / 2) / (1 + z2);
    const half = (z / (1 + z2)) * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count));
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Photos by their class (row) and what was said (column). */
export function confusion(rows, classes) {
    const table = Array.from({ length: classes }, () => new Array(classes).fill(0));
    for (const row of rows) table[row.photo.label][row.predicted] += 1;
    return table;
}

/** Wrong answers, the most confident first. */
export function mistakes(rows) {
    return rows.filter((row) => !row.right).sort((a, b) => b.chances[b.predicted] - a.chances[a.predicted]);
}

/**
 * Accuracy over training photos per class, for several random choices of them.
 * @yields {{size: number, draws: number[], mean: number}}
 */
export function* curve(training, held, classes) {
    const groups = Array.from({ length: classes }, (_, k) => training.filter((photo) => photo.label === k));
    const most = Math.max(...groups.map((group) => group.length));
    for (const size of [...SIZES.filter((each) => each < most), most]) {
        const random = generator(size);
        const draws = Array.from({ length: size === most ? 1 : DRAWS }, () => {
            const chosen = groups.flatMap((group) => shuffled(group, random).slice(0, size));
            const head = train(chosen.map((each) => each.features), chosen.map((each) => each.label), classes);
            return accuracy(test(head, held));
        });
        yield { size, draws, mean: draws.reduce((a, b) => a + b) / draws.length };
    }
}

function shuffled(list, random) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
        const j = Math.trunc(random() * (i + 1));
        [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
}

/** Random numbers in [0, 1), the same for the same seed (mulberry32), so that a curve does not flicker. */
function generator(seed) {
    let state = seed;
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
}
