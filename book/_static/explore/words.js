// Numbers and measures as they are read, by the rules of baq.report.columns.
explore.part("words", function () {
  "use strict";

  function number(value) {
    const size = Math.abs(value);
    if (!Number.isFinite(value)) {
      return Number.isNaN(value) ? "–" : "∞";
    }
    if (!size) {
      return "0";
    }
    if (size < 1e-4) {
      const [factor, power] = value.toExponential(1).split("e-");
      return `${factor}×10⁻${Array.from(power, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
    }
    return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
  }

  const share = (value) => `${number(100 * value)} %`;

  // Bits of both layers, or the two levels that t lies between.
  function bits({ bits: [one, other], to, t }) {
    const here = one === other ? String(one) : `${one} and ${other}`;
    return t ? `${here} → ${to}, t = ${t.toFixed(2)}` : here;
  }

  // Each measure: what it is called, and what it is here.
  function measures(m) {
    return [
      ["jaccard", "Jaccard distance J", m.jaccard.toFixed(3)],
      ["displacement", "mean displacement, input units", number(m.displacement)],
      ["gridChange", "grid prediction change", share(m.gridChange)],
      ["junctions", "triple-junction cells, float → quantized", m.junctions.join(" → ")],
      [
        "accuracy",
        "test accuracy, float → quantized",
        `${share(m.accuracyReference)} → ${share(m.accuracy)}`,
      ],
      [
        "flips",
        "labels of test images that flip",
        `${m.flips} of ${m.points} (${share(m.flips / m.points)})`,
      ],
      [
        "bandFlips",
        "flips in the boundary band",
        `${m.bandFlips} of ${m.band} (${share(m.bandFlips / m.band)})`,
      ],
    ];
  }

  function network(name) {
    const [dataset, one] = name.split("/");
    const [act, seed] = one.split("-");
    const data = { digits: "digits", mnist: "MNIST", "fashion-mnist": "Fashion-MNIST" }[dataset];
    const which = dataset === "digits" ? `, seed ${seed}` : ""; // of the others there is one
    return `${data}, ${act === "relu" ? "ReLU" : act}${which}`;
  }

  return { bits, measures, network, number, share };
});
