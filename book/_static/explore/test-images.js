// What a network says of test images: accuracy, flips, and flips in the boundary band, as baq.compare.
explore.part("test-images", function (use) {
  "use strict";
  const { dot, first } = use("network");
  const SHARE = 0.2; // of the images, in the band

  // Labels (N,) and margins (N,) of images, one after the other in `x`.
  function read(weights, x) {
    const { b, c, act } = weights;
    const [W, V] = [weights.W, weights.V].map((weight) => Float64Array.from(weight));
    const [H, K] = [b.length, c.length];
    const inputs = W.length / H;
    const count = x.length / inputs;
    const found = { labels: new Uint8Array(count), margins: new Float64Array(count) };
    const [t, z] = [new Float64Array(H), new Float64Array(K)];
    for (let n = 0; n < count; n++) {
      for (let h = 0; h < H; h++) {
        const sum = b[h] + dot(W, h * inputs, x, n * inputs, inputs);
        t[h] = act === "relu" ? Math.max(sum, 0) : Math.tanh(sum);
      }
      for (let k = 0; k < K; k++) {
        z[k] = c[k] + dot(V, k * H, t, 0, H);
      }
      const label = first(z);
      const top = z[label];
      z[label] = -Infinity;
      found.labels[n] = label;
      found.margins[n] = top - z[first(z)];
    }
    return found;
  }

  // The images with the lowest margins, ties to the lower index.
  function band(margins) {
    const order = Array.from(margins.keys()).sort((i, j) => margins[i] - margins[j] || i - j);
    return order.slice(0, Math.max(1, Math.round(SHARE * margins.length)));
  }

  function compare(reference, candidate, truth) {
    const points = truth.length;
    const right = (labels) => labels.reduce((sum, label, k) => sum + (label === truth[k]), 0) / points;
    const flip = (k) => reference.labels[k] !== candidate.labels[k];
    const all = Array.from(truth.keys()).filter(flip).length;
    const low = band(reference.margins);
    const near = low.filter(flip).length;
    const found = { points, flips: all, band: low.length, bandFlips: near };
    return { ...found, accuracy: right(candidate.labels), accuracyReference: right(reference.labels) };
  }

  return { compare, read };
});
