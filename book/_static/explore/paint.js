// Label maps and inputs drawn on canvases, in the book's colours.
explore.part("paint", function () {
  "use strict";
  // Colours of classes, light so that lines stand out, and those of what lies over them: apart in grey, too.
  const STRONG = [
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#d55e00",
    "#cc78bc",
    "#ca9161",
    "#fbafe4",
    "#949494",
    "#ece133",
    "#56b4e9",
  ];
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const LIGHT = STRONG.map((hex) => rgb(hex).map((value) => Math.round(0.6 * 255 + 0.4 * value)));
  const OVER = {
    both: [0, 0, 0],
    float: [0, 60, 150],
    quantized: [180, 60, 0],
    changed: [120, 30, 110],
  };
  const css = (colour) => `rgb(${colour.join(" ")})`;

  // Colours as the 32 bits of a pixel, whose bytes are red, green, blue and opacity on little-endian machines.
  const pixel = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const [BOTH, FLOAT, QUANTIZED, CHANGED] = Object.values(OVER).map(pixel);
  const CLASSES = LIGHT.map(pixel);

  // A map on a canvas of one pixel a cell; right of `wipe`, a share of the width, it is the quantized one.
  function cells(canvas, found, wipe, layers, side) {
    const { n } = found;
    const [float, quantized] = found.measures.labels;
    const [one, other] = found.measures.masks;
    const lines = layers.includes("boundaries");
    const moved = layers.includes("changed");
    const picture = new ImageData(n, n);
    const pixels = new Uint32Array(picture.data.buffer);
    const split = Math.round(wipe * n);
    for (let i = 0, k = 0; i < n; i++) {
      for (let j = 0, at = (n - 1 - i) * n; j < n; j++, k++, at++) {
        if (lines && (one[k] || other[k])) {
          pixels[at] = one[k] && other[k] ? BOTH : one[k] ? FLOAT : QUANTIZED;
        } else if (moved && float[k] !== quantized[k]) {
          pixels[at] = CHANGED;
        } else {
          pixels[at] = CLASSES[j < split ? float[k] : quantized[k]];
        }
      }
    }
    if (canvas.width !== n) {
      canvas.width = canvas.height = n;
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.classList.toggle("fine", n > 2 * side);
  }

  // For each class with room for its name, the place farthest from other classes, as shares of the side.
  function anchors(labels, n) {
    const step = Math.max(1, Math.floor(n / 64));
    const m = Math.floor(n / step);
    // Every so many cells, with a rim of no class around them; and how many are between each and another class.
    const wide = m + 2;
    const kind = new Uint8Array(wide * wide).fill(255);
    const depth = new Int32Array(wide * wide);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < m; j++) {
        kind[(i + 1) * wide + j + 1] = labels[i * step * n + j * step];
      }
    }
    const least = (at, beside) => (kind[beside] === kind[at] ? depth[beside] : 0) + 1;
    for (let at = wide + 1; at < wide * (wide - 1); at++) {
      depth[at] = Math.min(least(at, at - wide), least(at, at - 1));
    }
    const best = new Map();
    for (let at = wide * (wide - 1) - 2; at > wide; at--) {
      depth[at] = Math.min(depth[at], least(at, at + wide), least(at, at + 1));
      if (kind[at] !== 255 && depth[at] > m / 24 && !(depth[at] <= depth[best.get(kind[at])])) {
        best.set(kind[at], at);
      }
    }
    const share = (k) => ((k - 1) * step + 0.5) / n;
    return Array.from(best, ([label, at]) => [
      label,
      share(at % wide),
      share(Math.floor(at / wide)),
    ]);
  }

  // What lies over a map: names of classes, junctions, images, the point that is looked at.
  function marks(canvas, found, which, state, wipe, side) {
    const sharp = window.devicePixelRatio || 1;
    const pixels = Math.round(side * sharp);
    if (canvas.width !== pixels) {
      canvas.width = canvas.height = pixels;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, side, side);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    const [a0, a1, b0, b1] = found.extent;
    const place = ([a, b]) => [((a - a0) / (a1 - a0)) * side, (1 - (b - b0) / (b1 - b0)) * side];
    pen.font = `600 ${Math.max(11, side / 22)}px sans-serif`;
    pen.fillStyle = "black";
    const both = wipe === null ? [which] : [0, 1];
    const seen = (one, x) => wipe === null || x < wipe === (one === 0);
    for (const one of both) {
      for (const [label, x, y] of anchors(found.measures.labels[one], found.n)) {
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
          const at = [((j + 1) / found.n) * side, (1 - (i + 1) / found.n) * side];
          dot(pen, at, 4, null, 4, "white"); // a rim, for it may lie on black cells
          dot(pen, at, 4, null, 2);
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
      for (const [style, width] of [
        ["white", 4],
        ["black", 2],
      ]) {
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

  function dot(pen, [x, y], radius, fill, line, colour = "black") {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    if (fill) {
      pen.fillStyle = fill;
      pen.fill();
    }
    pen.lineWidth = line;
    pen.strokeStyle = colour;
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
