// One explorer: its controls, maps and read-outs around a state, which stands in the page's address.
explore.part("page", function (use) {
  "use strict";
  const { fold, h } = use("controls");
  const { board } = use("board");
  const { adjusted, fitting, initial, read, unread, write } = use("state");
  const paint = use("paint");
  const words = use("words");
  const PLOTTED = [9, 17, 33, 65, 129, 257, 513, 1025];
  const COMPUTED = [
    "network",
    "plane",
    "images",
    "bits",
    "scale",
    "rounding",
    "to",
    "t",
    "n",
    "sides",
    "x",
    "y",
    "zoom",
  ];
  const FIRST = ["jaccard", "displacement"]; // above the maps
  const SHORT = ["accuracy", "junctions"]; // below those of the small form
  const REST = ["gridChange", "flips", "bandFlips", ...SHORT];
  const frame = () => new Promise((done) => requestAnimationFrame(done));

  async function open(place) {
    const small = place.dataset.explore === "small";
    const names = place.dataset.networks.split(" ");
    const digests = Object.fromEntries(
      (place.dataset.digests ?? "").split(" ").map((one) => one.split(":")),
    );
    const workers = use("engine").start();
    const about = {};
    let state = small ? { ...initial(names), layers: ["boundaries", "junctions"] } : null;
    let shown = null; // what was computed last, with the state that it is of
    let busy = false;
    let stale = true;
    let plotted = "";
    let refused = ""; // why a link is not shown as it is, as long as what it leads to is shown
    let told = ""; // the state that this was said of
    let linked = false; // whether the state is that of a link

    const key = (one) => JSON.stringify(COMPUTED.map((name) => one[name]));
    const get = () => state;
    // The network of the state, or that which is shown until it has come.
    const known = () => about[state.network] ?? about[shown.state.network];

    // Networks of a data set come when one of them is asked for.
    async function fetched(name) {
      if (!about[name]) {
        const [dataset] = name.split("/");
        const found = await use("files").networks(
          dataset,
          await explore.text(dataset, digests[dataset] ?? ""),
        );
        if (!found[name]) {
          throw new Error(`${dataset}.js lacks the network ${name}`);
        }
        workers.forEach((worker) => worker.receive(found));
        Object.assign(about, found);
      }
    }

    function set(changes) {
      state = { ...state, ...changes };
      place.removeAttribute("data-settled");
      stale = true;
      refresh();
    }

    // Computes and draws until what is shown is the state; one question at a time, the last state wins.
    async function refresh() {
      if (busy) {
        return;
      }
      busy = true;
      while (stale) {
        stale = false;
        try {
          const { network } = state;
          await arrived(network);
          if (state.network !== network) {
            continue; // the reader was faster
          }
          const asked = fitting(state, about[network]);
          if (linked) {
            refuse(adjusted(state, asked));
          }
          [state, linked] = [asked, false];
          if (!shown || key(shown.state) !== key(asked)) {
            controls.sync(state, known());
            const found = await dimmed(workers[0].ask("shown", asked));
            shown = { state: asked, ...found };
          }
          told ||= key(shown.state);
          refused = told === key(shown.state) ? refused : "";
          complain("", refused);
          draw();
          await look();
        } catch (error) {
          if (!shown && state.plane !== "pca") {
            // Such as a link to images on a line.
            refuse([`plane=three: ${error.message}; that of the principal components is shown`]);
            state = { ...state, plane: "pca" };
            stale = true;
            continue;
          }
          complain(error.message);
          if (!shown) {
            return;
          }
          // Back to what can be shown.
          COMPUTED.forEach((name) => (state = { ...state, [name]: shown.state[name] }));
          controls.sync(state, known());
        }
      }
      busy = false;
      clearTimeout(refresh.rest);
      refresh.rest = setTimeout(rest, 120);
    }

    // Values of another state are dimmed until those of this one are there.
    async function dimmed(coming) {
      const late = setTimeout(() => place.setAttribute("data-waiting", ""), 120);
      try {
        return await coming;
      } finally {
        clearTimeout(late);
        place.removeAttribute("data-waiting");
      }
    }

    // A network that a link asks for and that does not come leaves the first one.
    async function arrived(name) {
      try {
        await dimmed(fetched(name));
      } catch (error) {
        if (shown || name === names[0]) {
          throw error;
        }
        refuse([`network=${name}: ${error.message}`]);
        state = { ...state, network: names[0] };
        await fetched(names[0]);
      }
    }

    // What a link asks for in vain is told beside what is shown instead.
    function refuse(entries) {
      refused = [refused, ...entries].filter(Boolean).join("; ");
    }

    // A state from the page's address.
    function follow() {
      [refused, told, linked] = ["", "", true];
      refuse(unread(location.hash, names).map((entry) => `${entry}, which is not allowed`));
      return read(location.hash, names);
    }

    // Says what cannot be shown, or what of a link is not.
    function complain(text, link = "") {
      const from = link && `The link asks for ${link}. The rest of it is shown.`;
      trouble.textContent = text ? `This cannot be shown: ${text}.` : from;
      trouble.hidden = !trouble.textContent;
      if (text && !shown) {
        explore.tell(place, new Error(text));
      }
    }

    function draw() {
      controls.sync(state, known());
      view.draw(shown);
      place.frames = (place.frames ?? 0) + 1;
      place.shown = shown;
      [headline, measured].forEach((list) => list.show(shown.measures));
    }

    // What may wait until the state stays for a moment.
    function rest() {
      if (busy) {
        return; // and comes again
      }
      measured.tell(state, shown.measures);
      if (small) {
        more.href = `${place.dataset.more}${write(state, [])}`;
      } else {
        const { bits } = known();
        ends.textContent =
          `AdaRound and the boundary metric come for ${bits[0]} to ${bits.at(-1)} bits, ` +
          "the boundary metric with the same bits in both layers.";
        guide.show(state, shown.measures);
        python.show(state, shown.extent);
        lawful.textContent = state.sides === "two" ? "the law" : "the law: for both sides only";
        corners.forEach(function ({ canvas, name }, k) {
          paint.input(canvas, imageOf(state.images[k]));
          name.textContent = `${"ABC"[k]}, a ${known().labels[state.images[k]]}`;
        });
        nothing.hidden = shown.measures.bounded;
        dots.hidden = !state.layers.includes("points");
        const address = write(state, names);
        if (address || location.hash.includes("=")) {
          history.replaceState(null, "", address || location.pathname + location.search);
        }
      }
      plot();
      place.setAttribute("data-settled", "");
    }

    function imageOf(k) {
      const { images, origin, scale } = known();
      return Array.from(
        images.subarray(k * origin.length, (k + 1) * origin.length),
        (level) => level / scale,
      );
    }

    // J on the plot's grids, one after the other, and then the law; ends when the state has moved on.
    async function plot() {
      const asked = { ...shown.state, n: 0 };
      const here = shown.measures;
      const own = { n: state.n, jaccard: here.jaccard, displacement: here.displacement };
      if (key(asked) === plotted) {
        use("plot").draw(chart, plot.grids, plot.law, own, words.number);
        return;
      }
      const current = () => key({ ...shown.state, n: 0 }) === key(asked);
      const law = [];
      const grids = [];
      try {
        for (const n of PLOTTED) {
          grids.push(await workers[1].ask("onGrid", asked, n));
          if (!current() || player.playing()) {
            return;
          }
          use("plot").draw(chart, grids, law, { ...own, n: state.n }, words.number);
        }
        // It is for masks of two cells.
        law.push(...(asked.sides === "two" ? await workers[1].ask("law", asked, PLOTTED) : []));
      } catch (error) {
        complain(error.message);
        return;
      }
      if (current()) {
        [plotted, plot.grids, plot.law] = [key(asked), grids, law];
        place.plotted = { grids, law };
        plot();
      }
    }

    // Both networks at the point that is looked at.
    async function look() {
      const { probe } = state;
      const found = probe && (await workers[0].ask("probe", { ...shown.state, probe }));
      place.probed = found;
      probed.show(found);
    }

    // Frames follow as fast as they are computed, by both workers in turn while the last one is drawn.
    async function film(advance, on) {
      while (busy) {
        await frame();
      }
      busy = true;
      place.removeAttribute("data-settled");
      const queue = [];
      const asking = function (worker) {
        const next = on() && advance();
        if (next) {
          const asked = fitting({ ...state, ...next }, about[state.network]);
          queue.push([asked, worker.ask("shown", asked).catch((error) => complain(error.message))]);
        }
      };
      workers.forEach(asking);
      for (let k = 0; queue.length && on(); k++) {
        const [asked, reply] = queue.shift();
        const found = await reply;
        if (!found || !on()) {
          break;
        }
        asking(workers[k % workers.length]);
        state = { ...asked, probe: state.probe };
        shown = { state: asked, ...found };
        draw();
        look();
        await frame();
      }
      busy = false;
      stale = true;
      refresh();
    }

    const player = use("player").player(place, get, set, film);

    // By hand, nothing plays on, but a reader may look at a point meanwhile.
    function byHand(changes) {
      if (Object.keys(changes).some((name) => name !== "probe")) {
        player.stop();
      }
      // The words of a step are for its state.
      const left = !("step" in changes) && COMPUTED.some((name) => name in changes);
      // A point lies on the plane that it was chosen on.
      const moves = (name) => name in changes && String(changes[name]) !== String(state[name]);
      const moved = ["network", "plane", "images"].some(moves);
      set({ ...(moved && { probe: null }), ...(left && { step: 0 }), ...changes });
    }

    const controls = board(get, byHand, names, player.plays);
    // The images that a plane may go through, with their classes.
    const corners = [..."ABC"].map((name) => ({
      canvas: h("canvas", { class: "input", role: "img", "aria-label": `image ${name}` }),
      name: h("span"),
    }));
    const spanning = h(
      "div",
      { class: "corners" },
      ...corners.map(({ canvas, name }) => h("div", {}, name, canvas)),
    );
    const nothing = h(
      "p",
      { class: "key", role: "status", hidden: true },
      "No boundary is in view, so that J is 0 whatever else has changed.",
    );
    const dots = h("span", { hidden: true }, "● test images, in the colour of their class");
    const others = h(
      "button",
      { type: "button", onclick: () => byHand({ plane: "three", images: drawn() }) },
      "draw others",
    );
    const view = use("maps").maps(get, byHand, small);

    // Three test images of three classes.
    function drawn() {
      const { labels } = known();
      for (;;) {
        const found = [0, 1, 2].map(() => Math.floor(Math.random() * labels.length));
        if (new Set(found.map((k) => labels[k])).size === 3) {
          return found;
        }
      }
    }

    const { readouts } = use("readouts");
    const [headline, measured] = [FIRST, small ? SHORT : REST].map(readouts);
    const trouble = h("p", { class: "explore-error", role: "alert", hidden: true });

    const swatch = (colour, text) =>
      h("span", { class: "swatch" }, h("i", { style: `background:${paint.css(colour)}` }), text);
    const legend = h(
      "p",
      { class: "key" },
      swatch(paint.OVER.both, "boundary in both"),
      swatch(paint.OVER.float, "float only"),
      swatch(paint.OVER.quantized, "quantized only"),
      ...(small ? [] : [swatch(paint.OVER.changed, "label changed")]),
      h("span", { class: "ringed" }, "junction"),
      dots,
    );

    const chart = h("div", { class: "chart" });
    const probed = use("point").point(() => byHand({ probe: null }));
    const python = use("python").panel();
    const reset = h(
      "button",
      { type: "button", onclick: () => byHand({ ...initial(names), probe: null }) },
      "reset",
    );

    const guide = use("guide").guide(byHand);
    const more = h("a", {}, "Explore further");
    const ends = h("p", { class: "key" });
    const lawful = h("span", { class: "lined" }, "the law");
    const plotKey = h(
      "p",
      { class: "key" },
      h("span", { class: "dotted" }, "measured"),
      lawful,
      h("span", { class: "owned" }, "your grid"),
    );

    const parts = small
      ? [
          h("div", { class: "first" }, controls.which, controls.levels, controls.grid),
          headline.list,
          view.places,
          measured.list,
          legend,
          chart,
          plotKey,
          h("p", {}, more),
        ]
      : [
          guide.row,
          guide.saying,
          h("div", { class: "first" }, controls.which, controls.bits, controls.grid),
          trouble,
          headline.list,
          view.places,
          controls.t,
          measured.list,
          probed.place,
          legend,
          view.tools,
          nothing,
          chart,
          plotKey,
          h("div", { class: "actions" }, python.copy, reset),
          fold("Bits of each layer, and at t = 1", ...controls.inner, controls.to),
          fold(
            "Rounding and boundary cells",
            controls.rounding,
            ends,
            controls.scale,
            controls.sides,
          ),
          fold("Plane", controls.plane, controls.images, spanning, others),
          fold("What is drawn", controls.appearance, controls.wipe, controls.layers),
          python.fold,
        ];
    const waiting = place.querySelector(":scope > p");
    if (waiting) {
      waiting.textContent = "The networks are on their way.";
    }
    state ??= follow();
    await arrived(state.network);
    place.replaceChildren(...parts, measured.told, ...(small ? [trouble] : []));
    player.marked();
    if (!small) {
      window.addEventListener("hashchange", () => location.hash.includes("=") && byHand(follow()));
    }
    place.set = byHand;
    await refresh();
  }

  return { open };
});
