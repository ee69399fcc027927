// What both networks say of the point that is looked at.
explore.part("point", function (use) {
  "use strict";
  const { h } = use("controls");
  const paint = use("paint");
  const { number } = use("words");

  // `away` is called to look at no point any more.
  function point(away) {
    const pictured = h("canvas", {
      class: "input",
      role: "img",
      "aria-label": "the input at the point",
    });
    const at = h("p", { class: "at", role: "status" });
    const leave = h("button", { type: "button", onclick: away }, "leave the point");
    const logits = Array.from({ length: 10 }, (_, k) => `logit ${k}`);
    const names = ["label", "margin", "radius", ...logits];
    const values = names.map(() => h("dd"));
    const list = h(
      "dl",
      { class: "probed" },
      ...names.map((name, k) => h("div", {}, h("dt", {}, name), values[k])),
    );
    const place = h("div", { class: "probe", hidden: true }, pictured, at, list, leave);

    // What was found, or nothing where no point is looked at.
    function show(found) {
      place.hidden = !found;
      if (!found) {
        return;
      }
      paint.input(pictured, found.input);
      const [from, to] = found.networks;
      at.textContent =
        `At a = ${number(found.a)}, b = ${number(found.b)}, label ${from.label} → ${to.label}; ` +
        "float → quantized, the radius in input units";
      const [one, other] = found.networks.map((made) => [
        made.label,
        number(made.margin),
        number(made.radius),
        ...made.logits.map((z) => z.toFixed(2)),
      ]);
      values.forEach((value, k) => (value.textContent = `${one[k]} → ${other[k]}`));
    }

    return { place, show };
  }

  return { point };
});
