// Plays t, the bits or the grid: which changes come next, and when.
explore.part("player", function (use) {
  "use strict";
  const { TOP, between, nearest, reached } = use("board");
  const { GRIDS } = use("state");
  const LAST = 3; // bits with which their play ends
  const TOLD = { t: "t", n: "the grid", levels: "the bits" };
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const wait = (time) => new Promise((done) => setTimeout(done, time));

  // `film(advance, on)` shows changes as fast as it can, as long as `on()`.
  function player(place, get, set, film) {
    const paused = {}; // where each play was stopped
    let playing = null;
    let now = null; // tells one play from the next of its name

    function marked() {
      for (const button of place.querySelectorAll("[data-play]")) {
        const { play: name } = button.dataset;
        button.textContent = name === playing ? "pause" : "play";
        button.setAttribute("aria-label", `${button.textContent} ${TOLD[name]}`);
      }
    }

    function stop() {
      playing = now = null;
      marked();
    }

    async function slides(advance, on, pause) {
      for (let next = on() && advance(); next && on(); next = advance()) {
        set(next);
        await wait(pause);
      }
    }

    // Plays, or stops what plays: `advance` gives the next changes, or none at the end.
    async function play(name, advance, pause) {
      if (playing === name) {
        stop();
        return;
      }
      const mine = Symbol(name);
      [playing, now] = [name, mine];
      marked();
      await (pause ? slides : film)(advance, () => now === mine, pause);
      if (now === mine) {
        stop();
      }
    }

    // Plays a value from one end to another; in steps where less motion is asked for.
    function glide(name, from, [start, end], time, steps, entries) {
      const begun = performance.now();
      let count = 0;
      let over = false;
      const advance = function () {
        count += 1;
        const moved = still.matches ? count / steps : (performance.now() - begun) / time;
        const next = Number((from + (end - start) * moved).toFixed(4));
        const last = over;
        over = next === end || next > end === end > start;
        return last ? null : entries(over ? end : next);
      };
      play(name, advance, still.matches ? 700 : 0);
    }

    // A play goes on where it was stopped, else begins anew.
    function resumed(name, value, first) {
      const found = paused[name] === value ? value : first;
      paused[name] = playing === name ? value : null;
      return found;
    }

    function t() {
      const from = get().t < 1 ? get().t : 0;
      glide("t", from, [0, 1], 6000, 10, (value) => ({ t: value }));
    }

    function levels() {
      const from = resumed("levels", reached(get()), TOP);
      glide("levels", from, [TOP, LAST], 7500, 10, between);
    }

    function n() {
      const last = GRIDS.length - 1;
      const from = resumed("n", nearest(get().n), -1);
      let k = from < last ? from : -1;
      play("n", () => (k < last ? { n: GRIDS[(k += 1)] } : null), 450);
    }

    return { marked, playing: () => playing, plays: { levels, n, t }, stop };
  }

  return { player };
});
