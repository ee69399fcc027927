// The two label maps: drawn side by side or as one with a wipe, with a point to look at, zoom and pan. One
// finger and the wheel alone scroll the page.
explore.part("maps", function (use) {
  "use strict";
  const { h } = use("controls");
  const paint = use("paint");
  const NAMES = ["float", "quantized"];
  const KEYS =
    "Arrow keys move the point that is looked at, Escape leaves it, plus and minus zoom, with shift arrows move the view.";
  const MIDDLE = { x: 0.5, y: 0.5 };
  const between = (value, low, high) => Math.min(high, Math.max(low, value));

  const short = (value) => Number(value.toFixed(6)); // for the page's address

  // Maps of a state; `still` ones are pictures.
  function maps(get, set, still) {
    let found = null;
    let side = 0; // of a map in pixels; to ask for it while something plays would lay out the page
    const panels = NAMES.map(function (name) {
      const cells = h("canvas", { class: "cells", "aria-hidden": "true" });
      const role = still ? { role: "img" } : { role: "application", tabindex: "0" };
      const marks = h("canvas", { class: "marks", "data-map": name, ...role });
      marks.setAttribute("aria-label", `Label map of the ${name} network.${still ? "" : ` ${KEYS}`}`);
      if (!still) {
        listen(marks);
        pinched(marks);
      }
      const title = h("div", { class: "title" }, name);
      return {
        cells,
        marks,
        title,
        place: h("div", { class: "map" }, title, h("div", { class: "stack" }, cells, marks)),
      };
    });

    // Where a pointer is, as shares of a map.
    function share({ clientX, clientY }, canvas) {
      const box = canvas.getBoundingClientRect();
      return { x: (clientX - box.left) / box.width, y: (box.bottom - clientY) / box.height };
    }

    // Coordinates of a pointer.
    function point(event, canvas) {
      const { x, y } = share(event, canvas);
      const [a0, a1, b0, b1] = found.extent;
      return [a0 + between(x, 0, 1) * (a1 - a0), b0 + between(y, 0, 1) * (b1 - b0)].map(short);
    }

    // Brings what is seen at `from` to `to`, both shares of the view, and draws it `factor` times as large; the
    // view stays on the plane.
    function move(from, to, factor) {
      const { x, y, zoom: now } = get();
      const zoomed = short(between(now * factor, 1, 64));
      const middle = function (old, start, stop) {
        const found = old + (start - 0.5) / now - (stop - 0.5) / zoomed;
        return short(between(found, 0.5 / zoomed, 1 - 0.5 / zoomed));
      };
      set({ zoom: zoomed, x: middle(x, from.x, to.x), y: middle(y, from.y, to.y) });
    }

    const zoom = (factor) => move(MIDDLE, MIDDLE, factor);
    // Moves the view by shares of what is seen.
    const pan = (right, up) => move({ x: 0.5 + right, y: 0.5 + up }, MIDDLE, 1);

    function step(right, up) {
      const [a0, a1, b0, b1] = found.extent;
      const [a, b] = get().probe ?? [(a0 + a1) / 2, (b0 + b1) / 2];
      const cell = 1 / Math.min(found.n, 65);
      set({
        probe: [
          between(a + right * cell * (a1 - a0), a0, a1),
          between(b + up * cell * (b1 - b0), b0, b1),
        ].map(short),
      });
    }

    function listen(canvas) {
      let from = null; // where a mouse that drags was last
      canvas.addEventListener("pointermove", function (event) {
        if (!found || event.pointerType !== "mouse") {
          return;
        }
        if (from && event.buttons) {
          const to = share(event, canvas);
          move(from, to, 1);
          from = to;
        } else {
          set({ probe: point(event, canvas) });
        }
      });
      canvas.addEventListener("pointerdown", function (event) {
        if (event.pointerType === "mouse") {
          canvas.setPointerCapture(event.pointerId); // a drag may leave the map
          from = share(event, canvas);
        }
      });
      canvas.addEventListener("pointerup", () => (from = null));
      canvas.addEventListener("click", (event) => found && set({ probe: point(event, canvas) }));
      const turned = function (event) {
        if (found && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          const at = share(event, canvas);
          move(at, at, Math.exp(between(-event.deltaY / 100, -0.25, 0.25)));
        }
      };
      canvas.addEventListener("wheel", turned, { passive: false });
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
        } else if (event.key === "Escape" && get().probe) {
          set({ probe: null });
        } else {
          return;
        }
        event.preventDefault();
      });
    }

    // Two fingers zoom and move the view.
    function pinched(canvas) {
      let from = null;
      const fingers = function (event) {
        const [one, other] = Array.from(event.touches, (touch) => share(touch, canvas));
        const middle = { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
        return { ...middle, apart: Math.hypot(one.x - other.x, one.y - other.y) };
      };
      const touched = function (event) {
        if (!found || event.touches.length !== 2) {
          from = null;
          return;
        }
        event.preventDefault();
        const to = fingers(event);
        if (from && event.type === "touchmove") {
          move(from, to, to.apart / Math.max(from.apart, 1e-3));
        }
        from = to;
      };
      for (const name of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
        canvas.addEventListener(name, touched, { passive: false });
      }
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
    // Where a wipe divides the map; to be dragged, and the slider is for keys.
    const handle = h("div", { class: "handle", "aria-hidden": "true", hidden: true });
    panels[0].marks.after(handle);
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", function (event) {
      if (handle.hasPointerCapture(event.pointerId)) {
        set({ wipe: Number(between(share(event, panels[0].marks).x, 0, 1).toFixed(2)) });
      }
    });

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
        handle.hidden = !wiped;
        panels[0].title.textContent = wiped ? "float | quantized" : NAMES[0];
        side = panels[0].marks.clientWidth;
      }
      handle.style.left = `${100 * state.wipe}%`;
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
