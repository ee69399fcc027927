// A table or figure that is wider than its box says that it scrolls, and takes the keyboard; a long one shows its
// first rows until asked for all; print unfolds everything.
(function () {
  const boxes =
    ".pst-scrollable-table-container, .cell_output .output.text_html, .cell_output figure.align-default";
  const long = 20; // rows; what is a little longer is not worth a press
  const first = 12;

  function mark() {
    for (const box of document.querySelectorAll(boxes)) {
      // The explorer fits by itself once it is there.
      const wide = box.scrollWidth > box.clientWidth + 1 && !box.querySelector("[data-explore]");
      box.classList.toggle("scrolls", wide);
      if (wide) box.tabIndex = 0;
    }
  }

  function shorten() {
    for (const table of document.querySelectorAll(".bd-article table:not(.claims)")) {
      const rows = [...table.querySelectorAll("tbody tr")];
      if (rows.length <= long) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "all-rows";
      const show = (all) => {
        rows.slice(first).forEach((row) => row.classList.toggle("folded-row", !all));
        button.textContent = all ? `Show the first ${first} rows` : `Show all ${rows.length} rows`;
        button.setAttribute("aria-expanded", all);
        mark();
      };
      button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
      show(false);
      table.after(button);
    }
  }

  function unfold() {
    for (const fold of document.querySelectorAll("details:not([open])")) {
      fold.open = true;
      fold.dataset.folded = "";
    }
  }

  function fold() {
    for (const one of document.querySelectorAll("details[data-folded]")) {
      one.open = false;
      delete one.dataset.folded;
    }
  }

  // A formula may be wider than the page, and takes the keyboard once its library has set it.
  async function reach() {
    await window.MathJax?.startup?.promise;
    for (const one of document.querySelectorAll("mjx-container[display=true]")) one.tabIndex = 0;
  }

  // The theme's arrow that unfolds a page's children is an icon alone.
  function name() {
    for (const arrow of document.querySelectorAll("nav summary:not([aria-label])")) {
      const link = arrow.closest("li")?.querySelector("a");
      if (link && !arrow.textContent.trim()) {
        arrow.setAttribute("aria-label", `pages of ${link.textContent.trim()}`);
      }
    }
  }

  // Sphinx lays a long signature out as a list of definitions without terms.
  function signatures() {
    for (const part of document.querySelectorAll("dt.sig dl, dt.sig dl > dd")) {
      part.setAttribute("role", "presentation");
    }
  }

  window.addEventListener("load", () => {
    shorten();
    mark();
    name();
    signatures();
    reach();
  });
  window.addEventListener("resize", mark);
  window.addEventListener("beforeprint", unfold);
  window.addEventListener("afterprint", fold);
})();
