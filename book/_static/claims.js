// The table of claims sorts by a click on a heading, and shows the claims of one verdict alone.
(function () {
  function value(row, column) {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/,/g, ""));
    return Number.isNaN(number) ? text : number;
  }

  function compare(a, b) {
    if (typeof a === typeof b) {
      return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    }
    return typeof a === "number" ? -1 : 1;
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach(function (heading, column) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent.trim();
      heading.replaceChildren(button);
      button.addEventListener("click", function () {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = Array.from(body.rows);
        rows.sort((a, b) => (up ? 1 : -1) * compare(value(a, column), value(b, column)));
        body.append(...rows);
      });
    });
    return headings.findIndex((heading) => heading.textContent === "verdict");
  }

  function filterable(table, column) {
    const rows = Array.from(table.tBodies[0].rows);
    const verdicts = Array.from(new Set(rows.map((row) => row.cells[column].textContent.trim())));
    const choice = document.createElement("select");
    choice.append(new Option("all verdicts", ""), ...verdicts.map((name) => new Option(name)));
    const label = document.createElement("label");
    label.append("Show ", choice);
    label.className = "filter";
    choice.addEventListener("change", function () {
      for (const row of rows) {
        row.hidden = choice.value && row.cells[column].textContent.trim() !== choice.value;
      }
    });
    (table.closest(".pst-scrollable-table-container") || table).before(label);
  }

  for (const table of document.querySelectorAll("table.verdicts")) {
    const column = sortable(table);
    if (column >= 0) {
      filterable(table, column);
    }
  }
})();
