// A network with one hidden layer on a plane, its label map with a proof for every cell, as
// baq.slices.certified, and its values at a point.
explore.part("network", function () {
  "use strict";
  const BEND = 2 / Math.sqrt(27); // the maximum of half of |tanh''|

  // z = V act(p + a pa + b pb) + c in float64.
  function onPlane(weights, plane) {
    const { W, b, V, c, act } = weights;
    const hidden = b.length;
    const inputs = W.length / hidden;
    const along = (axis, start) =>
      Float64Array.from(b, function (_, h) {
        let sum = start ? start[h] : 0;
        for (let k = 0, at = h * inputs; k < inputs; k++, at++) {
          sum += W[at] * axis[k];
        }
        return sum;
      });
    const net = { p: along(plane.origin, b), pa: along(plane.u), pb: along(plane.v), act };
    return { ...net, V: Float64Array.from(V), c: Float64Array.from(c), H: hidden, K: c.length };
  }

  function first(z) {
    let best = 0;
    for (let k = 1; k < z.length; k++) {
      if (z[k] > z[best]) {
        best = k;
      }
    }
    return best;
  }

  // The sum of x y over a stretch of each, in four sums; all arrays are of float64, or it slows down.
  function dot(x, at, y, from, size) {
    let p = 0;
    let q = 0;
    let r = 0;
    let s = 0;
    let k = 0;
    for (; k + 3 < size; k += 4) {
      p += x[at + k] * y[from + k];
      q += x[at + k + 1] * y[from + k + 1];
      r += x[at + k + 2] * y[from + k + 2];
      s += x[at + k + 3] * y[from + k + 3];
    }
    for (; k < size; k++) {
      p += x[at + k] * y[from + k];
    }
    return p + q + (r + s);
  }

  // A function to the label at plane coordinates, which leaves there hidden units `x`, `t` and logits `z`.
  function evaluator(net) {
    const { p, pa, pb, V, c, H, K } = net;
    const relu = net.act === "relu";
    const [x, t, z] = [H, H, K].map((size) => new Float64Array(size));
    function label(a, b) {
      for (let h = 0; h < H; h++) {
        const value = p[h] + a * pa[h] + b * pb[h];
        x[h] = value;
        t[h] = relu ? (value > 0 ? value : 0) : 1 - 2 / (Math.exp(2 * value) + 1);
      }
      let best = 0;
      for (let k = 0; k < K; k++) {
        z[k] = c[k] + dot(V, k * H, t, 0, H);
        if (z[k] > z[best]) {
          best = k;
        }
      }
      return best;
    }
    return { label, t, x, z };
  }

  const labeller = (net) => evaluator(net).label;

  // The gaps of the label at a box's centre: `rival` says which other class may lead somewhere on the box.
  function boxes(net, ha, hb) {
    const { pa, pb, V, c, H, K } = net;
    const relu = net.act === "relu";
    const { label, t, x, z } = evaluator(net);
    const [reach, slope, off] = [H, H, H].map((size) => new Float64Array(size));
    const far = new Float64Array(K * K); // a bound on the change of each gap: no unit is steeper than 1
    const sum = (values) => values.reduce((total, value) => total + Math.abs(value), 0);
    const weight = Math.max(
      ...Array.from({ length: K }, (_, k) => sum(V.subarray(k * H, (k + 1) * H))),
    );
    const bias = Math.max(...c.map(Math.abs));
    const box = { top: 0, gap: 0, alongA: 0, alongB: 0, below: 0, above: 0 };
    let half = 0;
    let room = 0;

    // Boxes of so many cells a side.
    box.of = function (size) {
      half = (size - 1) / 2;
      for (let h = 0; h < H; h++) {
        reach[h] = (Math.abs(pa[h]) * ha + Math.abs(pb[h]) * hb) * half;
      }
      for (let k = 0; k < K; k++) {
        for (let l = 0; l < k; l++) {
          let total = 0;
          for (let h = 0; h < H; h++) {
            total += Math.abs(V[k * H + h] - V[l * H + h]) * reach[h];
          }
          far[k * K + l] = far[l * K + k] = total;
        }
      }
    };

    // Slopes of the units at the centre, and how far they may leave their tangents within the reach.
    function bend() {
      let size = 0;
      for (let h = 0; h < H; h++) {
        const middle = Math.abs(x[h]);
        if (relu) {
          slope[h] = x[h] > 0 ? 1 : 0;
          off[h] = Math.max(reach[h] - middle, 0);
        } else {
          slope[h] = 1 - t[h] * t[h];
          // Half of |tanh''| at the centre, which changes by no more than the reach, and its maximum.
          const most = Math.min(BEND, Math.abs(t[h]) * slope[h] + reach[h]);
          off[h] = most * reach[h] * reach[h];
        }
        size = Math.max(size, middle + reach[h]);
      }
      room = 1e-12 * (size * weight + bias); // ample for the rounding of the sums
    }

    // The gap to class k, linearized, and what that leaves out. A convex unit can only add.
    function linearize(k) {
      const own = box.top * H;
      const other = k * H;
      let alongA = 0;
      let alongB = 0;
      let below = 0;
      let above = 0;
      for (let h = 0; h < H; h++) {
        const v = V[own + h] - V[other + h];
        alongA += v * slope[h] * pa[h];
        alongB += v * slope[h] * pb[h];
        const bent = v * off[h];
        above += bent > 0 ? bent : 0;
        below -= bent < 0 ? bent : 0;
      }
      box.gap = z[box.top] - z[k];
      box.alongA = alongA * ha;
      box.alongB = alongB * hb;
      box.below = room + below + (relu ? 0 : above);
      box.above = room + above + (relu ? 0 : below);
    }

    // The only class beside `top` that may lead on the box around a centre, with its gap linearized; -1
    // where there is none, -2 where there are several.
    box.rival = function (a, b) {
      box.top = label(a, b);
      let rival = -1;
      for (let k = 0; k < K; k++) {
        const gap = z[box.top] - z[k];
        if (k === box.top || gap * (1 - 1e-9) > far[box.top * K + k]) {
          continue;
        }
        if (rival === -1) {
          bend();
        }
        linearize(k);
        if (gap - (Math.abs(box.alongA) + Math.abs(box.alongB)) * half - box.below > 0) {
          rival = rival === -1 ? -3 : rival; // none yet, but the units are bent
          continue;
        }
        if (rival >= 0) {
          return -2;
        }
        rival = k;
      }
      if (rival >= 0) {
        linearize(rival);
      }
      return Math.max(rival, -1);
    };
    return box;
  }

  // Labels of the n x n cells of an extent, rows upward along b: boxes with one label are painted, those
  // with two by the sign of their linear gap, others are divided; what is in doubt is evaluated.
  function labelMap(net, extent, n) {
    const [a0, a1, b0, b1] = extent;
    const ha = (a1 - a0) / n;
    const hb = (b1 - b0) / n;
    const found = new Uint8Array(n * n);
    const label = labeller(net);
    const one = boxes(net, ha, hb);
    const evaluate = (i, j) => (found[i * n + j] = label(a0 + ha * (j + 0.5), b0 + hb * (i + 0.5)));

    // Labels by the sign of the gap to one rival; false where the gap is not linear enough.
    function halve(row, column, size, rival) {
      const { top, gap, alongA, alongB, below, above } = one;
      if (!(Math.max(below, above) < Math.abs(alongA) + Math.abs(alongB))) {
        return false;
      }
      const middle = (size - 1) / 2;
      for (let i = row; i < Math.min(row + size, n); i++) {
        for (let j = column; j < Math.min(column + size, n); j++) {
          const here = gap + alongB * (i - row - middle) + alongA * (j - column - middle);
          if (here > below || here < -above) {
            found[i * n + j] = here > 0 ? top : rival;
          } else {
            evaluate(i, j);
          }
        }
      }
      return true;
    }

    // Paints a box, or says that it must be divided.
    function paint(row, column, size) {
      const rival = one.rival(a0 + ha * (column + size / 2), b0 + hb * (row + size / 2));
      if (rival >= 0) {
        return halve(row, column, size, rival);
      }
      for (let i = row; rival === -1 && i < Math.min(row + size, n); i++) {
        found.fill(one.top, i * n + column, i * n + Math.min(column + size, n));
      }
      return rival === -1;
    }

    let size = 2 ** Math.floor(Math.log2(Math.min(32, n)));
    let left = [];
    for (let row = 0; row < n; row += size) {
      for (let column = 0; column < n; column += size) {
        left.push([row, column]);
      }
    }
    for (; size > 1; size /= 2) {
      one.of(size);
      const part = size / 2;
      const divided = left.filter(([row, column]) => !paint(row, column, size));
      left = divided.flatMap(([row, column]) => [
        [row, column],
        [row, column + part],
        [row + part, column],
        [row + part, column + part],
      ]);
      left = left.filter(([row, column]) => row < n && column < n);
    }
    left.forEach(([row, column]) => evaluate(row, column));
    return found;
  }

  // Logits, label, margin, and radius to the nearest boundary, as baq.local.radii, at a point.
  function values(weights, net, a, b) {
    const { H, K, V } = net;
    const { label, t, z } = evaluator(net);
    const top = label(a, b);
    const slope = t.map((value) => (net.act === "relu" ? Number(value > 0) : 1 - value ** 2));
    const inputs = weights.W.length / H;
    let radius = Infinity;
    for (let k = 0; k < K; k++) {
      if (k === top) {
        continue;
      }
      const gradient = new Float64Array(inputs);
      for (let h = 0; h < H; h++) {
        const s = slope[h] * (V[top * H + h] - V[k * H + h]);
        for (let d = 0, at = h * inputs; s && d < inputs; d++, at++) {
          gradient[d] += s * weights.W[at];
        }
      }
      const gap = z[top] - z[k];
      radius = Math.min(radius, gap && gap / Math.hypot(...gradient));
    }
    const margin = z[top] - Math.max(...z.filter((_, k) => k !== top));
    return { logits: Array.from(z), label: top, margin, radius };
  }

  return { dot, first, labelMap, labeller, onPlane, values };
});
