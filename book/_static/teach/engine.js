/** A pretrained backbone in the browser: onnxruntime-web, compiled to WebAssembly, served by this site itself. */

import { planes, prepare } from "./pixels.js";

const MADE = new URL("./made/", import.meta.url);
let engine = null;
const opened = {};

/** The networks that this site has, by name: title, file, bytes, preprocessing, channels, side of the map. */
export async function networks() {
    return (await fetch(new URL("networks.json", MADE))).json();
}

/** Open a network, once. Returns { about, features }; see `Backbone`. */
export function open(name) {
    return (opened[name] ??= load(name));
}

async function load(name) {
    const about = (await networks())[name];
    engine ??= await import(new URL("ort.wasm.bundle.min.mjs", MADE));
    engine.env.wasm.numThreads = 1; // more would need headers that many hosts of static pages do not send
    engine.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", MADE).href };
    const bytes = await (await fetch(new URL(about.file, MADE))).arrayBuffer();
    const options = { executionProviders: ["wasm"], extra: { session: { disable_quant_qdq: "1" } } };
    return new Backbone(name, about, await engine.InferenceSession.create(bytes, options), bytes);
}

/** A network without its head: from a photo to its last feature map, and to the mean over that map, the features. */
class Backbone {
    constructor(name, about, session, bytes) {
        Object.assign(this, { name, about, session, bytes });
    }

    /**
     * Compute the features of a photo.
     * @param {Blob} photo
     * @returns {Promise<{seen: ImageData, map: Float32Array, features: Float32Array, milliseconds: number}>} what the
     * network sees; its map (channels, side, side); the mean over the map's positions (channels); the network's time
     */
    async look(photo) {
        const seen = await prepare(photo, this.about.preprocessing);
        const start = performance.now();
        const pixels = new engine.Tensor("float32", planes(seen), [1, 3, seen.height, seen.width]);
        const { map } = await this.session.run({ pixels });
        const milliseconds = performance.now() - start;
        return { seen, map: map.data, features: means(map.data, this.about.channels), milliseconds };
    }
}

function means(map, channels) {
    const places = map.length / channels, out = new Float32Array(channels);
    for (let i = 0; i < map.length; i++) out[Math.trunc(i / places)] += map[i] / places;
    return out;
}
