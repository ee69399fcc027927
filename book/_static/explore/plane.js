// Planes through input space, as baq.slices.planes: x = origin + a u + b v.
explore.part("plane", function () {
  "use strict";
  const f32 = Math.fround;
  const dot = (x, y) => x.reduce((sum, value, k) => sum + value * y[k], 0);

  // The plane through three inputs, over their range widened by `pad`; the first is the origin.
  function through(inputs, pad) {
    const [side, other] = inputs
      .slice(1)
      .map((x) => Array.from(x, (value, k) => f32(value - inputs[0][k])));
    const long = Math.sqrt(dot(side, side));
    const exact = side.map((value) => value / long);
    const along = dot(other, exact);
    const rest = other.map((value, k) => value - along * exact[k]);
    const wide = Math.sqrt(dot(rest, rest));
    if (!(long > 0) || !(wide > 1e-6 * Math.sqrt(dot(other, other)))) {
      throw new Error("the three images lie on a line: choose others");
    }
    const u = Float32Array.from(exact);
    const v = Float32Array.from(rest, (value) => value / wide);
    const plane = { origin: inputs[0], u, v, extent: [0, 1, 0, 1] };
    const ends = [u, v].map(function (axis) {
      const at = [0, dot(side, axis), dot(other, axis)];
      const [low, high] = [Math.min(...at), Math.max(...at)];
      const half = ((high - low) / 2) * (1 + pad);
      return [(high + low) / 2 - half, (high + low) / 2 + half];
    });
    plane.extent = ends.flat();
    return plane;
  }

  // The part of an extent that is seen: its middle as shares of the whole, and how much larger it is drawn.
  function view(extent, x, y, zoom) {
    if (zoom === 1) {
      return extent;
    }
    const [a0, a1, b0, b1] = extent;
    const seen = (low, high, share) => {
      const middle = low + (high - low) * share;
      return [middle - (high - low) / zoom / 2, middle + (high - low) / zoom / 2];
    };
    return [...seen(a0, a1, x), ...seen(b0, b1, y)];
  }

  function input(plane, a, b) {
    return plane.origin.map((value, k) => value + a * plane.u[k] + b * plane.v[k]);
  }

  // Coordinates of the projection of an input.
  function project(plane, x) {
    let a = 0;
    let b = 0;
    for (let k = 0; k < x.length; k++) {
      const off = x[k] - plane.origin[k];
      a += off * plane.u[k];
      b += off * plane.v[k];
    }
    return [a, b];
  }

  return { input, project, through, view };
});
