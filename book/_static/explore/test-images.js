// What a network says of test images: accuracy, flips, and flips in the boundary band, as baq.compare.
explore.part("test-images", function (use) {
  "use strict";
  const { dot, first } = use("network");
  const SHARE = 0.2; // of the images, in the band

  // What a first layer makes of images, one after the other in `x`, without its bias.
  function products(weight, x, hidden) {
    const W = Float64Array.from(weight);
    const inputs = W.length / hidden;
    const found = new Float64Array((x.length / inputs) * hidden);
    for (let k = 0; k < found.length; k++) {
      found[k] = dot(W, (k % hidden) * inputs, x, Math.floor(k / hidden) * inputs, inputs);
    }
    return found;
  }

  // Labels (N,) and margins (N,) from the products of two first layers, of which the network's is the mean
  // with weights 1 - t and t.
  function read(weights, start, stop, t) {
    const { b, c, act } = weights;
    const V = Float64Array.from(weights.V);
    const [H, K] = [b.length, c.length];
    const count = start.length / H;
    const found = { labels: new Uint8Array(count), margins: new Float64Array(count) };
    const [u, z] = [new Float64Array(H), new Float64Array(K)];
    for (let n = 0; n < count; n++) {
      for (let h = 0, at = n * H; h < H; h++, at++) {
        const x = b[h] + (1 - t) * start[at] + t * stop[at];
        u[h] = act === "relu" ? Math.max(x, 0) : 1 - 2 / (Math.exp(2 * x) + 1);
      }
      for (let k = 0; k < K; k++) {
        z[k] = c[k] + dot(V, k * H, u, 0, H);
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
    const right = (labels) =>
      labels.reduce((sum, label, k) => sum + (label === truth[k]), 0) / points;
    const flip = (k) => reference.labels[k] !== candidate.labels[k];
    const all = Array.from(truth.keys()).filter(flip).length;
    const low = band(reference.margins);
    const near = low.filter(flip).length;
    const found = { points, flips: all, band: low.length, bandFlips: near };
    return {
      ...found,
      accuracy: right(candidate.labels),
      accuracyReference: right(reference.labels),
    };
  }

  return { compare, products, read };
});
