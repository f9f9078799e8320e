/**
 * Where a network looked: a class activation map (Zhou et al., 2016).
 *
 * The features are the mean of the last map over its positions, and the head is linear; so the head applied at each
 * position gives numbers whose mean is the score. They say how much each part of the photo speaks for a class.
 */

import { el } from "./dom.js";

const DARKEST = 190;

/**
 * The evidence for a class at each position, against the mean of all classes; Float32Array (side * side).
 * @param {Float32Array} map (channels, side, side)
 * @param {object} head from `train`
 * @param {number} label
 */
export function evidence(map, { weights }, label) {
    const channels = weights[0].length, places = map.length / channels;
    const out = new Float32Array(places);
    for (let d = 0; d < channels; d++) {
        const mean = weights.reduce((sum, weight) => sum + weight[d], 0) / weights.length;
        const weight = weights[label][d] - mean;
        for (let i = 0; i < places; i++) out[i] += weight * map[d * places + i];
    }
    return out;
}

/** A canvas with what the network sees, dark where nothing speaks for the class; without `values` as it is. */
export function picture(seen, values = null, words = "") {
    const canvas = el("canvas", { width: seen.width, height: seen.height, role: "img", "aria-label": words });
    const pen = canvas.getContext("2d");
    pen.putImageData(seen, 0, 0);
    if (values) {
        pen.imageSmoothingQuality = "high";
        pen.drawImage(shade(values), 0, 0, seen.width, seen.height);
    }
    return canvas;
}

function shade(values) {
    const side = Math.sqrt(values.length), most = Math.max(...values, 1e-9);
    const image = new ImageData(side, side);
    values.forEach((value, i) => {
        image.data[4 * i + 3] = DARKEST * (1 - Math.max(0, value) / most);
    });
    const canvas = el("canvas", { width: side, height: side });
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
}
