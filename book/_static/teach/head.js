/**
 * A linear head: multinomial logistic regression on features, with an L2 penalty, trained to convergence.
 *
 * There are far fewer photos than features, so the weights are written as a sum over photos (the representer theorem):
 * only the inner products of the photos' features are needed while training. The steps are Nesterov's.
 */

/** How much the photos count against the penalty, `C` of scikit-learn, for features of mean squared length 1. */
export const STRENGTH = 30;
const STEPS = 2000;
const PRECISION = 1e-4;

/**
 * Train a head.
 * @param {Float32Array[]} features of N photos, D numbers each
 * @param {number[]} labels of the photos, 0 to classes - 1
 * @param {number} classes
 * @returns {{weights: Float32Array[], biases: number[]}} of each class: D weights, and a bias
 */
export function train(features, labels, classes) {
    const { rows, mean, scale } = normalized(features);
    const part = solve(inner(rows), labels, classes);
    const weights = [], biases = [];
    for (let k = 0; k < classes; k++) {
        const weight = new Float32Array(mean.length);
        let bias = 0;
        rows.forEach((row, i) => {
            const a = part[i * classes + k];
            bias += a;
            for (let d = 0; d < row.length; d++) weight[d] += a * row[d];
        });
        for (let d = 0; d < weight.length; d++) {
            weight[d] /= scale;
            bias -= weight[d] * mean[d];
        }
        weights.push(weight);
        biases.push(bias);
    }
    return { weights, biases };
}

/** The scores of each class for the features of one photo. */
export function scores({ weights, biases }, features) {
    return weights.map((weight, k) => dot(weight, features) + biases[k]);
}

/** Scores as probabilities that sum to 1. */
export function softmax(values) {
    const top = Math.max(...values);
    const powers = values.map((value) => Math.exp(value - top));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
}

/** The largest cosine similarity of a photo's features and the mean features of the classes, -1 to 1. */
export function similarity(features, means) {
    const length = (values) => Math.sqrt(dot(values, values));
    return Math.max(...means.map((mean) => dot(mean, features) / (length(mean) * length(features))));
}

export function likeliest(values) {
    return values.indexOf(Math.max(...values));
}

function normalized(features) {
    const mean = new Float64Array(features[0].length);
    for (const row of features) for (let d = 0; d < mean.length; d++) mean[d] += row[d] / features.length;
    const rows = features.map((row) => Float64Array.from(row, (value, d) => value - mean[d]));
    const scale = Math.sqrt(rows.reduce((sum, row) => sum + dot(row, row), 0) / rows.length) || 1;
    for (const row of rows) for (let d = 0; d < row.length; d++) row[d] /= scale;
    return { rows, mean, scale };
}

/** The inner products of all pairs, each with 1 added for the bias; N x N, row by row. */
function inner(rows) {
    const count = rows.length, out = new Float64Array(count * count);
    for (let i = 0; i < count; i++) {
        for (let j = 0; j <= i; j++) out[i * count + j] = out[j * count + i] = 1 + dot(rows[i], rows[j]);
    }
    return out;
}

/** Minimize |W|^2 / 2 + C * cross-entropy over W = sum of part[i] * row i; returns `part`, N x classes. */
function solve(products, labels, classes) {
    const count = labels.length, size = count * classes;
    const steepest = 1 + (STRENGTH / 2) * largestRowSum(products, count);
    const momentum = (Math.sqrt(steepest) - 1) / (Math.sqrt(steepest) + 1);
    let part = new Float64Array(size), ahead = part;
    for (let step = 0; step < STEPS; step++) {
        const next = new Float64Array(size), further = new Float64Array(size);
        let moved = 0;
        for (let i = 0; i < count; i++) {
            const values = new Array(classes).fill(0);
            for (let j = 0; j < count; j++) {
                const product = products[i * count + j];
                for (let k = 0; k < classes; k++) values[k] += product * ahead[j * classes + k];
            }
            softmax(values).forEach((chance, k) => {
                const at = i * classes + k;
                const slope = ahead[at] + STRENGTH * (chance - (labels[i] === k ? 1 : 0));
                next[at] = ahead[at] - slope / steepest;
                further[at] = next[at] + momentum * (next[at] - part[at]);
                moved = Math.max(moved, Math.abs(slope));
            });
        }
        part = next;
        ahead = further;
        if (moved < PRECISION * STRENGTH) break;
    }
    return part;
}

/** No eigenvalue of a symmetric matrix is larger. */
function largestRowSum(matrix, count) {
    let largest = 0;
    for (let i = 0; i < count; i++) {
        let sum = 0;
        for (let j = 0; j < count; j++) sum += Math.abs(matrix[i * count + j]);
        largest = Math.max(largest, sum);
    }
    return largest;
}

function dot(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
}
