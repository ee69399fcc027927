// Five steps through the explorer: where each leads, and what it says with the numbers found there.
explore.part("guide", function (use) {
  "use strict";
  const { h } = use("controls");
  const { number, share } = use("words");
  const FIRST = "Five steps show what there is to see; or change anything below.";
  const plain = {
    plane: "pca",
    rounding: "nearest",
    scale: "tensor",
    sides: "two",
    t: 0,
    x: 0.5,
    y: 0.5,
    zoom: 1,
  };

  const change = (from, to) => (from === to ? `stays at ${to}` : `goes from ${from} to ${to}`);

  const steps = [
    {
      title: "8 bits",
      state: { ...plain, bits: [8, 8], n: 241, layers: ["boundaries"] },
      says: (m, s) =>
        `At ${s.bits[0]} bits ${m.flips} of ${m.points} test labels change, and yet J is ${m.jaccard.toFixed(2)}. ` +
        `The boundary moved by ${number(m.displacement)}; a cell is ${number(m.cell)} wide. Wherever that little ` +
        "carries it over the centre of a cell, J counts a whole cell.",
    },
    {
      title: "coarse grid",
      state: { ...plain, bits: [8, 8], n: 33, layers: ["boundaries"] },
      says: (m, s) =>
        `The same two networks on ${s.n} cells a side: J is ${m.jaccard.toFixed(2)}. Nothing moved but the grid; ` +
        `the mean displacement is ${number(m.displacement)}.`,
    },
    {
      title: "fine grid",
      state: { ...plain, bits: [8, 8], n: 1025, layers: ["boundaries"] },
      says: (m, s) =>
        `And on ${s.n} cells a side: J is ${m.jaccard.toFixed(2)}, the mean displacement ${number(m.displacement)}. ` +
        "J is a displacement in cells. Move the grid yourself, or play it.",
    },
    {
      title: "4 bits",
      state: { ...plain, bits: [4, 4], n: 129, layers: ["boundaries", "changed"] },
      says: (m, s) =>
        `At ${s.bits[0]} bits ${share(m.gridChange)} of the plane has another label, and of the test images ${share(m.flips / m.points)}: ` +
        `${m.bandFlips} of ${m.flips} lie in the fifth with the lowest margins. The accuracy ` +
        `${change(share(m.accuracyReference), share(m.accuracy))}.`,
    },
    {
      title: "between levels",
      state: { ...plain, bits: [4, 4], to: 3, t: 0.5, n: 129, layers: ["boundaries", "junctions"] },
      says: (m, s) =>
        `From ${s.bits[0]} bits (t = 0) to ${s.to} (t = 1) the weights go in a straight line; here t = ${s.t.toFixed(2)}. ` +
        `Circles are cells where three classes meet, ${m.junctions[1]} of them. Play t, and see where regions vanish.`,
    },
  ];

  // A step's words hold for its own state, wherever t and the drawing have come to.
  const free = ["t", "layers"];
  const holds = (step, state) =>
    Object.entries(step.state).every(
      ([name, value]) => free.includes(name) || String(state[name]) === String(value),
    );

  // Buttons for the steps, and the words of the one that was chosen, as long as its state is shown.
  function guide(set) {
    const saying = h("p", { class: "saying", role: "status" });
    const buttons = steps.map(({ title, state }, k) =>
      h(
        "button",
        { type: "button", "data-step": k + 1, onclick: () => set({ ...state, step: k + 1 }) },
        `${k + 1}. ${title}`,
      ),
    );
    const row = h(
      "div",
      { class: "steps", role: "group", "aria-label": "guided steps" },
      ...buttons,
    );

    function show(state, measures) {
      const step = steps[state.step - 1];
      const shown = step && holds(step, state) ? step : null;
      buttons.forEach((button, k) =>
        button.setAttribute("aria-pressed", String(steps[k] === shown)),
      );
      const text = shown?.says(measures, state) ?? FIRST;
      if (saying.textContent !== text) {
        saying.textContent = text;
      }
    }

    return { row, saying, show };
  }

  return { guide };
});
