// Boundary masks, J and its law, and junction cells, as baq.slices.jaccard and baq.slices.junctions.
explore.part("jaccard", function () {
  "use strict";

  // Cells on the boundary of a label map: with another label beside, above, and on both sides of it for "two".
  function mask(labels, n, sides) {
    const found = new Uint8Array(n * n);
    const two = sides === "two";
    for (let i = 0, at = 0; i < n; i++) {
      for (let j = 0; j < n; j++, at++) {
        if (j + 1 < n && labels[at] !== labels[at + 1]) {
          found[at] = 1;
          found[at + 1] |= two;
        }
        if (i + 1 < n && labels[at] !== labels[at + n]) {
          found[at] = 1;
          found[at + n] |= two;
        }
      }
    }
    return found;
  }

  function distance(one, other) {
    let both = 0;
    let either = 0;
    for (let k = 0; k < one.length; k++) {
      both += one[k] & other[k];
      either += one[k] | other[k];
    }
    return either ? 1 - both / either : 0;
  }

  // J of boundaries at these distances, on cells of this side.
  function law(distances, cell) {
    const m = distances.reduce((sum, d) => sum + Math.min(d / cell, 2), 0) / distances.length;
    return (2 * m) / (2 + m);
  }

  function changed(one, other) {
    return one.reduce((count, label, k) => count + (label !== other[k]), 0);
  }

  // The lowest row and column of each 2 x 2 block with three labels or more.
  function junctions(labels, n) {
    const found = [];
    for (let i = 0; i + 1 < n; i++) {
      for (let j = 0; j + 1 < n; j++) {
        const at = i * n + j;
        const [p, q, r, s] = [labels[at], labels[at + 1], labels[at + n], labels[at + n + 1]];
        const count = 1 + (q !== p) + (r !== p && r !== q) + (s !== p && s !== q && s !== r);
        if (count >= 3) {
          found.push([i, j]);
        }
      }
    }
    return found;
  }

  return { changed, distance, junctions, law, mask };
});
