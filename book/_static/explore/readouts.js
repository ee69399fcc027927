// The measures as a list, and as a sentence for those who do not see it.
explore.part("readouts", function (use) {
  "use strict";
  const { h } = use("controls");
  const { bits, measures, network } = use("words");
  const NONE = {
    jaccard: 0,
    displacement: 0,
    gridChange: 0,
    junctions: [],
    accuracy: 0,
    accuracyReference: 0,
  };

  // `listed` names those that are shown.
  function readouts(listed) {
    const values = {};
    const lines = measures(NONE)
      .filter(([name]) => listed.includes(name))
      .map(function ([name, text]) {
        values[name] = h("dd", { "data-measure": name });
        return h("div", { class: name }, h("dt", {}, text), values[name]);
      });
    const list = h("dl", { class: "readouts" }, ...lines);
    const told = h("p", { class: "unseen", role: "status" });

    function show(found) {
      for (const [name, , text] of measures(found)) {
        if (values[name] && values[name].textContent !== text) {
          values[name].textContent = text;
        }
      }
    }

    function tell(state, found) {
      const said = measures(found)
        .slice(0, 3)
        .map(([, name, text]) => `${name} ${text}`);
      const where = `${network(state.network)}, bits ${bits(state)}, ${state.n} cells a side`;
      told.textContent = `${where}: ${said.join("; ")}.`;
    }

    return { list, show, tell, told };
  }

  return { readouts };
});
