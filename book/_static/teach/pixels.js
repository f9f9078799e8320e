/** Photos as a network expects them: upright, in sRGB, resized with an antialiased filter, their central square. */

const FILTERS = {
    bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
    bicubic: { reach: 2, at: (x) => cubic(Math.abs(x)) },
};
/** Photos this many times as large as wanted are halved first, as `helpers` does when it decodes them. */
const DRAFT_FROM = 6;

/**
 * Prepare a photo as `helpers.models.prediction` does.
 * @param {Blob} photo a file that the browser can decode
 * @param {object} how a preprocessing: resize_size, image_size, interpolation
 * @returns {Promise<ImageData>} the square that the network sees
 */
export async function prepare(photo, how) {
    const image = await decode(photo, how.resize_size);
    const short = Math.min(image.width, image.height);
    const [width, height] = [image.width, image.height].map((side) => Math.trunc((how.resize_size * side) / short));
    return centralSquare(resize(image, width, height, FILTERS[how.interpolation]), how.image_size);
}

/** Pixels 0 to 255 as the network takes them: all of red, then green, then blue; Float32Array (3 * S * S). */
export function planes({ data, width, height }) {
    const count = width * height, out = new Float32Array(3 * count);
    for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) out[c * count + i] = data[4 * i + c];
    return out;
}

async function decode(photo, side) {
    const bitmap = await createImageBitmap(photo);
    const times = Math.min(bitmap.width, bitmap.height) / side;
    const part = times >= DRAFT_FROM ? [8, 4, 2, 1].find((each) => times / 2 >= each) : 1;
    const [width, height] = [bitmap.width, bitmap.height].map((each) => Math.ceil(each / part));
    const pen = surface(width, height);
    pen.fillStyle = "white"; // under transparent parts
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    return pen.getImageData(0, 0, width, height);
}

function surface(width, height) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    return canvas.getContext("2d", { willReadFrequently: true });
}

function resize(image, width, height, filter) {
    const narrow = width === image.width ? image : pass(image, width, filter, true);
    return height === image.height ? narrow : pass(narrow, height, filter, false);
}

/** Resize along the rows or along the columns, rounding to whole values, as Pillow and PyTorch do. */
function pass({ data, width, height }, to, filter, alongRows) {
    const taps = weights(alongRows ? width : height, to, filter);
    const out = alongRows ? new ImageData(to, height) : new ImageData(width, to);
    const step = alongRows ? 4 : 4 * width;
    for (let y = 0; y < out.height; y++) {
        for (let x = 0; x < out.width; x++) {
            const { first, tap } = taps[alongRows ? x : y];
            let from = alongRows ? 4 * (y * width + first) : 4 * (first * width + x);
            let red = 0, green = 0, blue = 0;
            for (const weight of tap) {
                red += weight * data[from];
                green += weight * data[from + 1];
                blue += weight * data[from + 2];
                from += step;
            }
            out.data.set([red, green, blue, 255], 4 * (y * out.width + x));
        }
    }
    return out;
}

/** For each of `to` new pixels: the first old one that it is made of, and the weights of it and its neighbors. */
function weights(from, to, filter) {
    const scale = from / to, wide = Math.max(scale, 1), reach = filter.reach * wide;
    return Array.from({ length: to }, (_, i) => {
        const center = (i + 0.5) * scale;
        const first = Math.max(0, Math.trunc(center - reach + 0.5));
        const last = Math.min(from, Math.trunc(center + reach + 0.5));
        const raw = Array.from({ length: last - first }, (_, j) => filter.at((first + j - center + 0.5) / wide));
        const sum = raw.reduce((a, b) => a + b);
        return { first, tap: raw.map((each) => each / sum) };
    });
}

/** Keys' kernel with a = -0.5. */
function cubic(x) {
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

function centralSquare(image, side) {
    const [left, top] = [image.width, image.height].map((each) => halfToEven((each - side) / 2));
    const pen = surface(side, side);
    pen.putImageData(image, -left, -top);
    return pen.getImageData(0, 0, side, side);
}

function halfToEven(x) {
    return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}
