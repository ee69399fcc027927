// The calls of baq that give the numbers of a state.
explore.part("python", function (use) {
  "use strict";
  const { fold: folded, h } = use("controls");

  function text(state, extent) {
    const [dataset, name] = state.network.split("/");
    const channel = state.scale === "channel" ? ", per_channel=True" : "";
    const [first, last] = state.bits;
    const bits = first === last ? String(first) : `{"1": ${first}, "3": ${last}}`;
    const nearest = state.rounding === "nearest";
    const rounded = (how) =>
      nearest
        ? `ptq_w(network, ${how}${channel})`
        : `shown.rounded("${state.rounding}", ${how}${channel})`;
    const path = state.t
      ? `interpolate(${rounded(bits)}, ${rounded(state.to)}, ${state.t})`
      : rounded(bits);
    const plane =
      state.plane === "pca"
        ? "shown.plane"
        : `slices.plane_through(shown.x[[${state.images.join(", ")}]])`;
    return [
      "# In a folder with the book's results",
      nearest ? "from baq import compare, ptq_w, slices" : "from baq import compare, slices",
      ...(state.t ? ["from baq.quantization import interpolate"] : []),
      "from baq.zoo import explorer",
      "",
      `shown = explorer.load("book/results/explore/${dataset}.js")["${name}"]`,
      "network = shown.network",
      `candidate = ${path}`,
      `plane = ${plane}`,
      `extent = (${extent.join(", ")})`,
      "plane = slices.Plane(plane.origin, plane.u, plane.v, extent)",
      `found = compare(network, candidate, shown.x, shown.y, planes=plane, n=${state.n}, sides="${state.sides}")`,
      "print(found.T.to_string())",
    ].join("\n");
  }

  // The calls in a fold, and a button that copies them.
  function panel() {
    const code = h("code");
    const copy = h("button", { type: "button", onclick: copied }, "copy as Python");
    const pre = h("pre", { tabindex: "0", role: "region", "aria-label": "Python" }, code);
    const fold = folded("The same in Python", pre);

    async function copied() {
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "copied";
      } catch {
        fold.open = true;
        getSelection().selectAllChildren(code);
        copy.textContent = "selected below";
      }
      setTimeout(() => (copy.textContent = "copy as Python"), 1500);
    }

    const show = (state, extent) => (code.textContent = text(state, extent));
    return { copy, fold, show };
  }

  return { panel };
});
