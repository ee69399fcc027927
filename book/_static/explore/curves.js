// The boundary as a curve: where it crosses between cell centres, its length, and how far another one is,
// as baq.slices.curves.
explore.part("curves", function () {
  "use strict";
  const TOLERANCE = 1e-6; // of the extent, for a crossing
  const NEAREST = 8; // segments that are tried

  // Segments of the boundary: from each crossing of a square's side to the mean of the square's crossings,
  // in input units, as [a, b, hub a, hub b] one after the other.
  function segments(label, labels, extent, n) {
    const [a0, a1, b0, b1] = extent;
    const ha = (a1 - a0) / n;
    const hb = (b1 - b0) / n;
    const halvings = Math.max(1, Math.ceil(Math.log2(1 / (n * TOLERANCE))));

    // Where on the edge from a centre to the next one, right or up, the label changes; NaN where it does not.
    function crossing(i, j, up) {
      const here = labels[i * n + j];
      if (here === labels[(i + up) * n + j + 1 - up]) {
        return NaN;
      }
      let low = 0;
      let high = 1;
      for (let k = 0; k < halvings; k++) {
        const middle = (low + high) / 2;
        const a = a0 + ha * (j + 0.5 + (up ? 0 : middle));
        const b = b0 + hb * (i + 0.5 + (up ? middle : 0));
        if (label(a, b) === here) {
          low = middle;
        } else {
          high = middle;
        }
      }
      return (low + high) / 2;
    }

    const row = (i) => Array.from({ length: n - 1 }, (_, j) => crossing(i, j, 0));
    const found = [];
    let below = row(0);
    for (let i = 0; i + 1 < n; i++) {
      const above = row(i + 1);
      let left = crossing(i, 0, 1);
      for (let j = 0; j + 1 < n; j++) {
        const right = crossing(i, j + 1, 1);
        const met = [
          [below[j], 0],
          [above[j], 1],
          [0, left],
          [1, right],
        ].filter(([x, y]) => x === x && y === y);
        if (met.length) {
          const hub = [0, 1].map(
            (axis) => met.reduce((sum, point) => sum + point[axis], 0) / met.length,
          );
          for (const [x, y] of met) {
            found.push(a0 + ha * (j + 0.5 + x), b0 + hb * (i + 0.5 + y));
            found.push(a0 + ha * (j + 0.5 + hub[0]), b0 + hb * (i + 0.5 + hub[1]));
          }
        }
        left = right;
      }
      below = above;
    }
    return Float64Array.from(found);
  }

  function length(found) {
    let sum = 0;
    for (let k = 0; k < found.length; k += 4) {
      sum += Math.hypot(found[k + 2] - found[k], found[k + 3] - found[k + 1]);
    }
    return sum;
  }

  // From the first end of each segment to the nearest of another boundary's segments, of which those with
  // the nearest middles are tried.
  function distances(found, other) {
    if (!found.length || !other.length) {
      return new Float64Array(found.length / 4).fill(Infinity);
    }
    const near = neighbours(other);
    const result = new Float64Array(found.length / 4);
    for (let k = 0; k < found.length; k += 4) {
      const [x, y] = [found[k], found[k + 1]];
      let best = Infinity;
      for (const s of near(x, y)) {
        const [u, v] = [other[s + 2] - other[s], other[s + 3] - other[s + 1]];
        const square = Math.max(u * u + v * v, 1e-300);
        const along = Math.min(
          1,
          Math.max(0, ((x - other[s]) * u + (y - other[s + 1]) * v) / square),
        );
        best = Math.min(best, Math.hypot(x - other[s] - along * u, y - other[s + 1] - along * v));
      }
      result[k / 4] = best;
    }
    return result;
  }

  // A function from a point to the segments with the nearest middles, by squares of the plane.
  function neighbours(other) {
    const middle = (s) => [(other[s] + other[s + 2]) / 2, (other[s + 1] + other[s + 3]) / 2];
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let s = 0; s < other.length; s += 4) {
      const [x, y] = middle(s);
      [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
    }
    const side = Math.max(x1 - x0, y1 - y0, 1e-300) / 64;
    const squares = new Map();
    const key = (i, j) => 4096 * i + j;
    for (let s = 0; s < other.length; s += 4) {
      const [x, y] = middle(s);
      const at = key(Math.floor((x - x0) / side), Math.floor((y - y0) / side));
      squares.set(at, [...(squares.get(at) || []), s]);
    }
    return function (x, y) {
      const [ci, cj] = [Math.floor((x - x0) / side), Math.floor((y - y0) / side)];
      let best = [];
      // What lies in this ring of squares, or farther out, is at least so many sides less one away.
      const open = (ring) => best.length < NEAREST || best.at(-1)[0] > ((ring - 1) * side) ** 2;
      for (let ring = 0; ring < 2 || open(ring); ring++) {
        for (let i = ci - ring; i <= ci + ring; i++) {
          const step = Math.abs(i - ci) === ring ? 1 : 2 * ring || 1;
          for (let j = cj - ring; j <= cj + ring; j += step) {
            for (const s of (i >= 0 && j >= 0 && i < 66 && j < 66 && squares.get(key(i, j))) ||
              []) {
              const [mx, my] = middle(s);
              best.push([(mx - x) ** 2 + (my - y) ** 2, s]);
            }
          }
        }
        best = best.sort((one, two) => one[0] - two[0]).slice(0, NEAREST);
        if (best.length === other.length / 4) {
          break;
        }
      }
      return best.map(([, s]) => s);
    };
  }

  return { distances, length, segments };
});
