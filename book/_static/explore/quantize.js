// Weights on a grid, as baq.quantization: symmetric and narrow, ties to even, every step in float32.
explore.part("quantize", function () {
  "use strict";
  const f32 = Math.fround;

  function even(x) {
    return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
  }

  // The scale of each row of a weight: its own, or that of all.
  function scales(weight, rows, high, perChannel) {
    const width = weight.length / rows;
    const largest = new Float32Array(rows);
    weight.forEach((w, k) => {
      const row = perChannel ? Math.floor(k / width) : 0;
      largest[row] = Math.max(largest[row], Math.abs(w));
    });
    return largest.map((_, row) => f32(largest[perChannel ? row : 0] / high) || 1);
  }

  // The weight at so many bits; `up`, a bit a weight, chooses a neighbour in place of the nearest.
  function quantize(weight, rows, bits, perChannel, up) {
    const high = 2 ** (bits - 1) - 1;
    const width = weight.length / rows;
    const scale = scales(weight, rows, high, perChannel);
    const clamp = (code) => Math.min(high, Math.max(-high, code));
    return weight.map(function (w, k) {
      const s = scale[Math.floor(k / width)];
      const steps = f32(w * f32(1 / s));
      const more = up && (up[k >> 3] >> (k & 7)) & 1;
      const code = up ? Math.min(clamp(Math.floor(steps)) + more, high) : clamp(even(steps));
      return f32(code * s);
    });
  }

  function interpolate(start, stop, t) {
    return start.map((w, k) => f32(f32(f32(1 - t) * w) + f32(f32(t) * stop[k])));
  }

  return { interpolate, quantize };
});
