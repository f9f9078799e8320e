/** A trained head as files: safetensors as `helpers.models.saved_models` reads and checks them, and zip archives. */

const FORMAT = "transfer-learning-course/2";
const text = new TextEncoder();

/**
 * Write a head as a model file: the head's tensors, and the name of the backbone that it belongs to.
 * @param {object} head from `train`
 * @param {string[]} classes
 * @param {object} backbone from `open`
 * @param {object} facts what else to note
 */
export async function headFile(head, classes, { name, about }, facts = {}) {
    const description = JSON.stringify({
        backbone: name,
        backbone_weights: "DEFAULT",
        options: {},
        head: { hidden: null, dropout: 0.0 },
        classes,
        preprocessing: about.preprocessing,
        ...facts,
    });
    const width = head.weights[0].length;
    const weights = new Float32Array(classes.length * width);
    head.weights.forEach((row, k) => weights.set(row, k * width));
    const tensors = {
        [`${about.head}.bias`]: { values: Float32Array.from(head.biases), shape: [classes.length] },
        [`${about.head}.weight`]: { values: weights, shape: [classes.length, width] },
    };
    const parts = Object.entries(tensors).flatMap(([key, { values }]) => [text.encode(key), bytes(values)]);
    const checksum = hex(await crypto.subtle.digest("SHA-256", joined([text.encode(description), ...parts])));
    return safetensors(tensors, { format: FORMAT, checksum, description });
}

function safetensors(tensors, metadata) {
    const header = { __metadata__: metadata };
    let offset = 0;
    for (const [key, { values, shape }] of Object.entries(tensors)) {
        header[key] = { dtype: "F32", shape, data_offsets: [offset, (offset += values.byteLength)] };
    }
    const written = text.encode(JSON.stringify(header));
    const padded = new Uint8Array(Math.ceil(written.length / 8) * 8).fill(32);
    padded.set(written);
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
    return joined([length, padded, ...Object.values(tensors).map(({ values }) => bytes(values))]);
}

/** Read a head that `headFile` or `data/workshop` wrote: { weights, biases, about }. */
export function readHead(buffer) {
    const { metadata, tensors } = readTensors(buffer);
    const ending = (end) => tensors[Object.keys(tensors).find((key) => key.endsWith(end))];
    return { weights: ending(".weight"), biases: [...ending(".bias")], about: JSON.parse(metadata.description) };
}

/** Read a safetensors file: its metadata, and its float32 tensors by name; of a matrix, an array of its rows. */
export function readTensors(buffer) {
    const length = Number(new DataView(buffer).getBigUint64(0, true)), start = 8 + length;
    const { __metadata__: metadata, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    const tensors = {};
    for (const [name, { shape, data_offsets: [from, to] }] of Object.entries(header)) {
        const values = new Float32Array(buffer.slice(start + from, start + to)), [rows, width] = shape;
        const row = (_, i) => values.subarray(i * width, (i + 1) * width);
        tensors[name] = width === undefined ? values : Array.from({ length: rows }, row);
    }
    return { metadata, tensors };
}

/** A zip archive of files, stored as they are; `files` gives bytes or text by name. */
export function zip(files) {
    const locals = [], central = [];
    let offset = 0;
    for (const [name, content] of Object.entries(files)) {
        const data = typeof content === "string" ? text.encode(content) : new Uint8Array(content);
        const encoded = text.encode(name), sum = crc32(data);
        // version 2.0, UTF-8 names, no compression, 1 January 1980
        const common = [20, 0x800, 0, 0, 0x21].map((each) => [each, 2]);
        common.push([sum, 4], [data.length, 4], [data.length, 4], [encoded.length, 2], [0, 2]);
        const local = joined([numbers([[0x04034b50, 4], ...common]), encoded, data]);
        const rest = [[0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]];
        central.push(joined([numbers([[0x02014b50, 4], [20, 2], ...common, ...rest]), encoded]));
        locals.push(local);
        offset += local.length;
    }
    const size = central.reduce((sum, each) => sum + each.length, 0), count = central.length;
    const end = [[0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], [size, 4], [offset, 4], [0, 2]];
    return joined([...locals, ...central, numbers(end)]);
}

function numbers(fields) {
    return Uint8Array.from(fields.flatMap(([value, size]) =>
        Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 255)));
}

function crc32(data) {
    let sum = ~0;
    for (const byte of data) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
    }
    return ~sum >>> 0;
}

function bytes(values) {
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function joined(parts) {
    const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let offset = 0;
    for (const part of parts) {
        out.set(part, offset);
        offset += part.length;
    }
    return out;
}

function hex(digest) {
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
