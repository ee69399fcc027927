// Labelled controls that show a state and report changes of it.
explore.part("controls", function () {
  "use strict";
  let last = 0;

  function h(tag, entries = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(entries)) {
      if (key.startsWith("on")) {
        made.addEventListener(key.slice(2), value);
      } else if (value !== false) {
        made.setAttribute(key, value === true ? "" : value);
      }
    }
    made.append(...children);
    return made;
  }

  // Controls of one explorer: `get` gives the state, `set` takes changes; `sync` shows a new state.
  function panel(get, set) {
    const all = [];
    const id = () => `explore-${(last += 1)}`;
    const keep = (made, show) => {
      all.push(show);
      return made;
    };

    // A slider with its value beside the name; `entry` has min, max, step, value(state), text(state) and
    // change(value), and where a reader may play it `play`.
    function slider(name, entry) {
      const at = id();
      const told = h("output", { for: at });
      const { min, max, step = 1 } = entry;
      const input = h("input", { type: "range", id: at, name, min, max, step });
      input.addEventListener("input", () => set(entry.change(Number(input.value))));
      const button = entry.play
        ? h("button", { type: "button", "data-play": name, onclick: entry.play }, "play")
        : "";
      const made = h(
        "div",
        { class: "slider" },
        h("label", { for: at }, entry.label),
        told,
        input,
        button,
      );
      return keep(made, function (state, about) {
        const [low, high] = entry.ends?.(state, about) ?? [min, max];
        input.min = low;
        input.max = high;
        input.value = entry.value(state);
        const text = entry.text(state);
        if (told.textContent !== text) {
          told.textContent = text;
          input.setAttribute("aria-valuetext", text);
        }
      });
    }

    function choice(name, label, options, change) {
      const at = id();
      const input = h(
        "select",
        { id: at, name },
        ...options.map(([value, text]) => h("option", { value }, text)),
      );
      input.addEventListener("change", () =>
        set(change ? change(input.value) : { [name]: input.value }),
      );
      const made = h("div", { class: "choice" }, h("label", { for: at }, label), input);
      return keep(made, (state) => (input.value = state[name]));
    }

    function boxes(name, options) {
      const inputs = options.map(function ([value, text]) {
        const input = h("input", { type: "checkbox", name, value });
        input.addEventListener("change", function () {
          const rest = get()[name].filter((one) => one !== value);
          set({ [name]: input.checked ? [...rest, value] : rest });
        });
        return [input, h("label", {}, input, ` ${text}`)];
      });
      const made = h("div", { class: "boxes" }, ...inputs.map(([, label]) => label));
      return keep(made, (state) =>
        inputs.forEach(([input]) => (input.checked = state[name].includes(input.value))),
      );
    }

    // Whole numbers of one entry, such as the three images of a plane.
    function numbers(name, labels) {
      const inputs = labels.map(function (label, k) {
        const at = id();
        const input = h("input", {
          type: "number",
          id: at,
          name: `${name}-${k}`,
          min: 0,
          step: 1,
          inputmode: "numeric",
        });
        input.addEventListener("change", function () {
          const value = Math.round(Number(input.value));
          const fits = input.value !== "" && value >= 0 && value <= Number(input.max);
          set({ [name]: get()[name].map((one, j) => (j === k && fits ? value : one)) });
        });
        return [input, h("div", { class: "choice" }, h("label", { for: at }, label), input)];
      });
      const made = h("div", { class: "numbers" }, ...inputs.map(([, one]) => one));
      return keep(made, (state, about) =>
        inputs.forEach(function ([input], k) {
          input.max = about.labels.length - 1;
          input.value = state[name][k];
        }),
      );
    }

    const sync = (state, about) => all.forEach((show) => show(state, about));
    return { boxes, choice, numbers, slider, sync };
  }

  function fold(title, ...children) {
    return h("details", {}, h("summary", {}, title), ...children);
  }

  return { fold, h, panel };
});
