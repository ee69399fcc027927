// What both networks say of the point that is looked at.
explore.part("point", function (use) {
  "use strict";
  const { h } = use("controls");
  const paint = use("paint");
  const { number } = use("words");

  function point() {
    const pictured = h("canvas", {
      class: "input",
      role: "img",
      "aria-label": "the input at the point",
    });
    const at = h("p", { class: "at" });
    const rows = [
      "label",
      "margin",
      "radius, input units",
      ...Array.from({ length: 10 }, (_, k) => `logit ${k}`),
    ];
    const cells = rows.map(() => [h("td"), h("td")]);
    const table = h(
      "table",
      { class: "probed" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "at this point"),
          h("th", { scope: "col" }, "float"),
          h("th", { scope: "col" }, "quantized"),
        ),
      ),
      h(
        "tbody",
        {},
        ...rows.map((name, row) => h("tr", {}, h("th", { scope: "row" }, name), ...cells[row])),
      ),
    );
    const place = h("div", { class: "probe", hidden: true }, h("div", {}, pictured, at), table);

    function show(found) {
      paint.input(pictured, found.input);
      at.textContent = `a = ${number(found.a)}, b = ${number(found.b)}`;
      found.networks.forEach(function (one, k) {
        const logits = one.logits.map((z) => z.toFixed(2));
        const texts = [one.label, number(one.margin), number(one.radius), ...logits];
        texts.forEach((text, row) => (cells[row][k].textContent = text));
      });
      place.hidden = false;
    }

    return { place, show };
  }

  return { point };
});
