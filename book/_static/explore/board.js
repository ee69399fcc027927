// The explorer's controls: what each is called, what it allows, and what it changes.
explore.part("board", function (use) {
  "use strict";
  const { panel } = use("controls");
  const { GRIDS, ROUNDINGS } = use("state");
  const words = use("words");

  const nearest = (n) =>
    GRIDS.reduce((best, one, k) => (Math.abs(one - n) < Math.abs(GRIDS[best] - n) ? k : best), 0);

  // Bits that may lie between two widths, as entries of the state, and the other way round.
  const TOP = 8; // where they begin
  function between(value) {
    const bits = Math.ceil(value);
    return { bits: [bits, bits], to: Math.max(2, bits - 1), t: Number((bits - value).toFixed(4)) };
  }
  const reached = ({ bits: [bits], to, t }) => bits + t * (to - bits);

  // All of them by name; `get` and `set` are as for a panel, `plays` what the buttons of t and n do.
  function board(get, set, names, plays) {
    const make = panel(get, set);
    const ends = (_, about) =>
      get().rounding === "nearest" ? [2, 16] : [about.bits[0], about.bits.at(-1)];
    const bits = make.slider("bits", {
      label: "bits",
      min: 2,
      max: 16,
      ends,
      text: (one) => words.bits({ ...one, t: 0 }),
      value: (one) => one.bits[0],
      // There is a way to go from here to t = 1.
      change: (value) => ({
        bits: [value, value],
        ...(value <= get().to && { to: Math.max(2, value - 1) }),
      }),
    });
    const levels = make.slider("levels", {
      label: "bits",
      min: 2,
      max: TOP,
      step: 0.1,
      play: plays.levels,
      value: reached,
      text: words.bits,
      change: between,
    });
    const grid = make.slider("n", {
      label: "cells a side",
      min: 0,
      max: GRIDS.length - 1,
      play: plays.n,
      value: (one) => nearest(one.n),
      text: (one) => String(one.n),
      change: (value) => ({ n: GRIDS[value] }),
    });
    const layer = (k, label) =>
      make.slider(`bits-${k + 1}`, {
        label,
        min: 2,
        max: 16,
        ends,
        value: (one) => one.bits[k],
        text: (one) => String(one.bits[k]),
        change: (value) => ({
          bits:
            get().rounding === "boundary metric"
              ? [value, value]
              : get().bits.map((b, j) => (j === k ? value : b)),
        }),
      });
    const to = make.slider("to", {
      label: "bits at t = 1",
      min: 2,
      max: 16,
      ends,
      value: (one) => one.to,
      text: (one) => String(one.to),
      change: (value) => ({ to: value }),
    });
    const t = make.slider("t", {
      label: "position t",
      min: 0,
      max: 1,
      step: 0.01,
      play: plays.t,
      value: (one) => one.t,
      text: (one) => `${one.t.toFixed(2)}, from ${words.bits({ ...one, t: 0 })} to ${one.to}`,
      change: (value) => ({ t: value }),
    });
    const wipe = make.slider("wipe", {
      label: "wipe",
      min: 0,
      max: 1,
      step: 0.01,
      value: (one) => one.wipe,
      text: (one) => `${Math.round(100 * one.wipe)} % float`,
      change: (value) => ({ wipe: value }),
    });
    const which = make.choice(
      "network",
      "network",
      names.map((name) => [name, words.network(name)]),
    );
    const rounding = make.choice(
      "rounding",
      "rounding",
      ROUNDINGS.map((name) => [name, name === "adaround" ? "AdaRound" : name]),
    );
    const scale = make.choice("scale", "scale", [
      ["tensor", "one for each matrix"],
      ["channel", "one for each unit"],
    ]);
    const sides = make.choice("sides", "boundary cells", [
      ["two", "on both sides of the boundary"],
      ["one", "on one side"],
    ]);
    const plane = make.choice("plane", "plane", [
      ["pca", "principal components"],
      ["three", "through three test images"],
    ]);
    const appearance = make.choice("look", "maps", [
      ["side by side", "side by side"],
      ["wipe", "as a wipe"],
    ]);
    const layers = make.boxes("layers", [
      ["boundaries", "boundary cells"],
      ["changed", "cells that changed"],
      ["junctions", "junctions"],
      ["points", "test images"],
    ]);
    const images = make.numbers("images", ["image A", "image B", "image C"]);
    const inner = [layer(0, "bits, first layer"), layer(1, "bits, second layer")];
    const { sync } = make;
    return {
      appearance,
      bits,
      grid,
      images,
      inner,
      layers,
      levels,
      plane,
      rounding,
      scale,
      sides,
      sync,
      t,
      to,
      which,
      wipe,
    };
  }

  return { TOP, between, board, nearest, reached };
});
