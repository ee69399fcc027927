// The table of claims sorts by a click on a heading, and shows the claims of one verdict alone.
(function () {
  // What a cell is sorted by: a ratio by its distance from 1, either way; nothing where it is empty.
  function value(row, column, name) {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/,/g, ""));
    if (name === "ratio" && text) {
      return Number.isNaN(number) ? "" : number > 0 ? Math.abs(Math.log(number)) : Infinity;
    }
    return Number.isNaN(number) ? text : number;
  }

  // Empty cells come last, up and down.
  function compare(a, b, up) {
    if (a === "" || b === "") {
      return (a === "") - (b === "");
    }
    const sign = up ? 1 : -1;
    if (typeof a === typeof b) {
      return (
        sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }))
      );
    }
    return sign * (typeof a === "number" ? -1 : 1);
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const headings = Array.from(table.tHead.rows[0].cells);
    const names = headings.map((heading) => heading.textContent.trim());

    function sort(column, up) {
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      headings[column].setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = Array.from(body.rows);
      const of = (row) => value(row, column, names[column]);
      rows.sort((a, b) => compare(of(a), of(b), up));
      body.append(...rows);
    }

    headings.forEach(function (heading, column) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = names[column];
      heading.replaceChildren(button);
      button.addEventListener("click", function () {
        sort(column, heading.getAttribute("aria-sort") !== "ascending");
      });
    });

    // On a phone the headings are not shown.
    const choice = document.createElement("select");
    choice.append(...names.map((name, column) => new Option(name, column)));
    choice.addEventListener("change", () => sort(+choice.value, names[choice.value] !== "ratio"));
    place(table, "Sort by ", choice);
    return names.indexOf("verdict");
  }

  function place(table, text, choice) {
    const label = document.createElement("label");
    label.append(text, choice);
    label.className = "filter";
    (table.closest(".pst-scrollable-table-container") || table).before(label);
  }

  function filterable(table, column) {
    const rows = Array.from(table.tBodies[0].rows);
    const verdicts = Array.from(new Set(rows.map((row) => row.cells[column].textContent.trim())));
    const choice = document.createElement("select");
    choice.append(new Option("all verdicts", ""), ...verdicts.map((name) => new Option(name)));
    choice.addEventListener("change", function () {
      for (const row of rows) {
        row.hidden = choice.value && row.cells[column].textContent.trim() !== choice.value;
      }
    });
    place(table, "Show ", choice);
  }

  for (const table of document.querySelectorAll("table.verdicts")) {
    const column = sortable(table);
    if (column >= 0) {
      filterable(table, column);
    }
  }
})();
