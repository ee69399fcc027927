// Label maps and inputs drawn on canvases, in the book's colours.
explore.part("paint", function () {
  "use strict";
  // Colours of classes, light so that lines stand out, and those of what lies over them: apart in grey, too.
  const STRONG = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"];
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const LIGHT = STRONG.map((hex) => rgb(hex).map((value) => Math.round(0.35 * 255 + 0.65 * value)));
  const OVER = { both: [0, 0, 0], float: [0, 90, 160], quantized: [230, 140, 0], changed: [120, 30, 110] };
  const css = (colour) => `rgb(${colour.join(" ")})`;

  // The colour of cell k of the float (0) or the quantized (1) map.
  function colour(found, which, k, layers) {
    const { labels, masks } = found.measures;
    if (layers.includes("boundaries")) {
      const [one, other] = [masks[0][k], masks[1][k]];
      if (one || other) {
        return one && other ? OVER.both : one ? OVER.float : OVER.quantized;
      }
    }
    if (layers.includes("changed") && labels[0][k] !== labels[1][k]) {
      return OVER.changed;
    }
    return LIGHT[labels[which][k]];
  }

  // A map on a canvas of one pixel a cell; right of `wipe`, a share of the width, it is the quantized one.
  function cells(canvas, found, wipe, layers) {
    const { n } = found;
    const picture = new ImageData(n, n);
    const split = Math.round(wipe * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        picture.data.set(colour(found, j < split ? 0 : 1, i * n + j, layers), 4 * ((n - 1 - i) * n + j));
        picture.data[4 * ((n - 1 - i) * n + j) + 3] = 255;
      }
    }
    if (canvas.width !== n) {
      canvas.width = canvas.height = n;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.classList.toggle("fine", n > 2 * canvas.clientWidth);
  }

  // For each class with room for its name, the place farthest from other classes, as shares of the side.
  function anchors(labels, n) {
    const step = Math.max(1, Math.floor(n / 64));
    const m = Math.floor(n / step);
    const at = (i, j) => labels[Math.min(i * step, n - 1) * n + Math.min(j * step, n - 1)];
    const depth = new Int32Array(m * m);
    const least = (i, j, di, dj) => {
      const [k, l] = [i + di, j + dj];
      const edge = k < 0 || l < 0 || k >= m || l >= m;
      return edge || at(k, l) !== at(i, j) ? 1 : depth[k * m + l] + 1;
    };
    for (let k = 0; k < m * m; k++) {
      const [i, j] = [Math.floor(k / m), k % m];
      depth[k] = Math.min(least(i, j, -1, 0), least(i, j, 0, -1));
    }
    const found = new Map();
    for (let k = m * m - 1; k >= 0; k--) {
      const [i, j] = [Math.floor(k / m), k % m];
      depth[k] = Math.min(depth[k], least(i, j, 1, 0), least(i, j, 0, 1));
      if (depth[k] > m / 24 && depth[k] > (found.get(at(i, j))?.[0] ?? 0)) {
        found.set(at(i, j), [depth[k], (j * step + 0.5) / n, (i * step + 0.5) / n]);
      }
    }
    return found;
  }

  // What lies over a map: names of classes, junctions, images, the point that is looked at.
  function marks(canvas, found, which, state, wipe) {
    const side = canvas.clientWidth;
    const sharp = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * sharp);
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const [a0, a1, b0, b1] = found.extent;
    const place = ([a, b]) => [((a - a0) / (a1 - a0)) * side, (1 - (b - b0) / (b1 - b0)) * side];
    pen.font = `600 ${Math.max(11, side / 22)}px sans-serif`;
    pen.fillStyle = "black";
    const both = wipe === null ? [which] : [0, 1];
    const seen = (one, x) => wipe === null || x < wipe === (one === 0);
    for (const one of both) {
      for (const [label, [, x, y]] of anchors(found.measures.labels[one], found.n)) {
        if (seen(one, x)) {
          pen.fillText(label, x * side, (1 - y) * side);
        }
      }
    }
    if (state.layers.includes("points")) {
      found.marks.points.map(place).forEach((point, k) => {
        dot(pen, point, 2.2, css(rgb(STRONG[found.marks.truth[k]])), 0.6);
      });
    }
    for (const one of state.layers.includes("junctions") ? both : []) {
      for (const [i, j] of found.marks.junctions[one]) {
        if (seen(one, (j + 1) / found.n)) {
          dot(pen, [((j + 1) / found.n) * side, (1 - (i + 1) / found.n) * side], 4, null, 2);
        }
      }
    }
    (found.marks.corners || []).map(place).forEach(function (point, k) {
      dot(pen, point, 8, "white", 1);
      pen.fillStyle = "black";
      pen.font = "600 11px sans-serif";
      pen.fillText("ABC"[k], point[0], point[1]);
    });
    if (state.probe) {
      const [x, y] = place(state.probe);
      for (const [style, width] of [["white", 4], ["black", 2]]) {
        pen.strokeStyle = style;
        pen.lineWidth = width;
        pen.beginPath();
        pen.moveTo(x - 8, y);
        pen.lineTo(x + 8, y);
        pen.moveTo(x, y - 8);
        pen.lineTo(x, y + 8);
        pen.stroke();
      }
    }
  }

  function dot(pen, [x, y], radius, fill, line) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    if (fill) {
      pen.fillStyle = fill;
      pen.fill();
    }
    pen.lineWidth = line;
    pen.strokeStyle = "black";
    pen.stroke();
  }

  // An input in grey, dark on white as ink; what lies outside [0, 1] is cut.
  function input(canvas, values) {
    const side = Math.sqrt(values.length);
    canvas.width = canvas.height = side;
    const picture = new ImageData(side, side);
    values.forEach((value, k) => {
      const grey = 255 * (1 - Math.min(1, Math.max(0, value)));
      picture.data.set([grey, grey, grey, 255], 4 * k);
    });
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  return { LIGHT, OVER, cells, css, input, marks };
});
