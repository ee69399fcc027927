// J against the grid, with the law's curve, and the displacement, which does not depend on it.
explore.part("plot", function () {
  "use strict";
  const [WIDE, HIGH, LEFT, RIGHT] = [360, 128, 44, 8];
  const TICKS = [9, 33, 129, 513];
  const SPACE = "http://www.w3.org/2000/svg";

  function node(name, entries, text = "") {
    const made = document.createElementNS(SPACE, name);
    Object.entries(entries).forEach(([key, value]) => made.setAttribute(key, value));
    made.textContent = text;
    return made;
  }

  const across = (n) => LEFT + ((WIDE - LEFT - RIGHT) * Math.log(n / 9)) / Math.log(1025 / 9);

  function axes(title, most, tick, bottom) {
    const up = (value) => HIGH - 24 - ((HIGH - 46) * value) / most;
    const lines = [0, most].map((value) =>
      node("line", { x1: LEFT, x2: WIDE - RIGHT, y1: up(value), y2: up(value), class: "rule" }),
    );
    const words = [0, most].map((value) =>
      node(
        "text",
        { x: LEFT - 5, y: up(value) + 4, "text-anchor": "end" },
        value ? tick(value) : "0",
      ),
    );
    const below = TICKS.map((n) =>
      node("text", { x: across(n), y: HIGH - 8, "text-anchor": "middle" }, bottom ? n : ""),
    );
    return { up, parts: [node("text", { x: LEFT, y: 12 }, title), ...lines, ...words, ...below] };
  }

  function curve(points, up, name) {
    const path = points
      .map(({ n, value }, k) => `${k ? "L" : "M"}${across(n)} ${up(value)}`)
      .join("");
    return node("path", { d: path, class: name });
  }

  function dots(points, up, name, radius) {
    return points.map(({ n, value }) =>
      node("circle", { cx: across(n), cy: up(value), r: radius, class: name }),
    );
  }

  function panel(title, most, tick, bottom, label, content) {
    const { up, parts } = axes(title, most, tick, bottom);
    const made = node("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": label });
    made.append(...parts, ...content(up));
    return made;
  }

  // The next of 1, 2, 5, 10, 20, ... above a value.
  function rounded(value) {
    const power = 10 ** Math.floor(Math.log10(value || 1));
    return Number((power * [1, 2, 5, 10].find((factor) => factor * power >= value)).toPrecision(1));
  }

  // `grids` has rows {n, jaccard, displacement}, `law` rows {n, law}, `here` the reader's own row.
  function draw(place, grids, law, here, digits) {
    const value = (name) => (row) => ({ n: row.n, value: row[name] });
    const drawn = (name) => grids.filter((row) => Number.isFinite(row[name])).map(value(name));
    const told = (name) => grids.map((row) => `${digits(row[name])} on ${row.n}`).join(", ");
    const most =
      rounded(
        1.3 *
          Math.max(
            ...grids
              .concat(here)
              .map((row) => row.displacement)
              .filter(Number.isFinite),
            0,
          ),
      ) || 1;
    const own = (name) => (Number.isFinite(here[name]) ? [value(name)(here)] : []);
    const finite = law.filter((row) => Number.isFinite(row.law)).map(value("law"));
    const texts = {
      title: "J against cells a side",
      law: finite.map((row) => `${digits(row.value)} on ${row.n}`).join(", "),
    };
    place.replaceChildren(
      panel(
        texts.title,
        1,
        String,
        true,
        `J by cells a side: ${told("jaccard")}.${texts.law && ` By the law: ${texts.law}.`}`,
        (up) => [
          curve(finite, up, "law"),
          ...dots(drawn("jaccard"), up, "dot", 3),
          ...dots(own("jaccard"), up, "own", 6),
        ],
      ),
      panel(
        "mean displacement, input units",
        most,
        String,
        true,
        `Mean displacement by cells a side: ${told("displacement")}.`,
        (up) => [
          curve(drawn("displacement"), up, "line"),
          ...dots(drawn("displacement"), up, "dot", 3),
          ...dots(own("displacement"), up, "own", 6),
        ],
      ),
    );
  }

  return { draw };
});
