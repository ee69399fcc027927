// The two label maps: drawn side by side or as one with a wipe, with a point to look at, zoom and pan.
explore.part("maps", function (use) {
  "use strict";
  const { h } = use("controls");
  const paint = use("paint");
  const NAMES = ["float", "quantized"];
  const KEYS =
    "Arrow keys move the point that is looked at, plus and minus zoom, with shift arrows move the view.";

  function maps(get, set) {
    let found = null;
    let side = 0; // of a map in pixels; to ask for it while something plays would lay out the page
    const panels = NAMES.map(function (name) {
      const cells = h("canvas", { class: "cells", "aria-hidden": "true" });
      const marks = h("canvas", {
        class: "marks",
        role: "application",
        tabindex: "0",
        "data-map": name,
      });
      marks.setAttribute("aria-label", `Label map of the ${name} network. ${KEYS}`);
      listen(marks);
      const title = h("div", { class: "title" }, name);
      return {
        cells,
        marks,
        title,
        place: h("div", { class: "map" }, title, h("div", { class: "stack" }, cells, marks)),
      };
    });

    // Coordinates of a pointer.
    function point(event, canvas) {
      const box = canvas.getBoundingClientRect();
      const [a0, a1, b0, b1] = found.extent;
      const x = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const y = Math.min(1, Math.max(0, (box.bottom - event.clientY) / box.height));
      return [a0 + x * (a1 - a0), b0 + y * (b1 - b0)];
    }

    const inside = (value) => Math.min(1, Math.max(0, value));

    function zoom(factor) {
      const state = get();
      const to = Math.min(64, Math.max(1, state.zoom * factor));
      set(to === 1 ? { zoom: 1, x: 0.5, y: 0.5 } : { zoom: to });
    }

    // Moves the view by shares of what is seen.
    function pan(right, up) {
      const { x, y, zoom: now } = get();
      if (now > 1) {
        set({ x: inside(x + right / now), y: inside(y + up / now) });
      }
    }

    function step(right, up) {
      const [a0, a1, b0, b1] = found.extent;
      const [a, b] = get().probe ?? [(a0 + a1) / 2, (b0 + b1) / 2];
      const within = (value, low, high) => Math.min(high, Math.max(low, value));
      const cell = 1 / Math.min(found.n, 65);
      set({
        probe: [
          within(a + right * cell * (a1 - a0), a0, a1),
          within(b + up * cell * (b1 - b0), b0, b1),
        ],
      });
    }

    function listen(canvas) {
      let from = null;
      canvas.addEventListener("pointermove", function (event) {
        if (!found || event.pointerType !== "mouse") {
          return;
        }
        if (from && event.buttons) {
          pan(
            (from.x - event.clientX) / canvas.clientWidth,
            (event.clientY - from.y) / canvas.clientHeight,
          );
          from = { x: event.clientX, y: event.clientY };
        } else {
          set({ probe: point(event, canvas) });
        }
      });
      canvas.addEventListener(
        "pointerdown",
        (event) => (from = { x: event.clientX, y: event.clientY }),
      );
      canvas.addEventListener("pointerup", () => (from = null));
      canvas.addEventListener("click", (event) => found && set({ probe: point(event, canvas) }));
      canvas.addEventListener(
        "wheel",
        function (event) {
          if (found && (event.ctrlKey || document.activeElement === canvas)) {
            event.preventDefault();
            zoom(event.deltaY < 0 ? 1.25 : 0.8);
          }
        },
        { passive: false },
      );
      const arrows = {
        ArrowLeft: [-1, 0],
        ArrowRight: [1, 0],
        ArrowUp: [0, 1],
        ArrowDown: [0, -1],
      };
      canvas.addEventListener("keydown", function (event) {
        if (!found || event.altKey || event.ctrlKey || event.metaKey) {
          return;
        }
        if (arrows[event.key]) {
          const [right, up] = arrows[event.key];
          (event.shiftKey ? (r, u) => pan(r / 8, u / 8) : step)(right, up);
        } else if (event.key === "+" || event.key === "=") {
          zoom(1.25);
        } else if (event.key === "-") {
          zoom(0.8);
        } else {
          return;
        }
        event.preventDefault();
      });
    }

    const button = (name, text, action) =>
      h("button", { type: "button", "aria-label": name, title: name, onclick: action }, text);
    const tools = h(
      "div",
      { class: "tools", role: "group", "aria-label": "view" },
      button("zoom in", "+", () => zoom(1.5)),
      button("zoom out", "−", () => zoom(1 / 1.5)),
      button("view left", "←", () => pan(-0.25, 0)),
      button("view right", "→", () => pan(0.25, 0)),
      button("view up", "↑", () => pan(0, 0.25)),
      button("view down", "↓", () => pan(0, -0.25)),
      button("whole plane", "whole", () => set({ zoom: 1, x: 0.5, y: 0.5 })),
    );
    const places = h("div", { class: "maps" }, ...panels.map((panel) => panel.place));

    // Sizes change the space for marks, so that these are drawn last.
    function draw(next) {
      found = next ?? found;
      if (!found) {
        return;
      }
      const state = get();
      const wiped = state.look === "wipe";
      if (!side || panels[1].place.hidden !== wiped) {
        places.classList.toggle("wiped", wiped);
        panels[1].place.hidden = wiped;
        panels[0].title.textContent = wiped ? "float | quantized" : NAMES[0];
        side = panels[0].marks.clientWidth;
      }
      panels.slice(0, wiped ? 1 : 2).forEach(function ({ cells, marks }, k) {
        paint.cells(cells, found, wiped ? state.wipe : 1 - k, state.layers, side);
        paint.marks(marks, found, k, state, wiped ? state.wipe : null, side);
      });
    }

    new ResizeObserver(function () {
      side = 0;
      draw();
    }).observe(places);
    return { draw, places, tools };
  }

  return { maps };
});
