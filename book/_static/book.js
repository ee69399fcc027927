// A table that is wider than its box says that it scrolls, and takes the keyboard; print unfolds all folds.
(function () {
  const boxes = ".pst-scrollable-table-container, .cell_output .output.text_html";

  function mark() {
    for (const box of document.querySelectorAll(boxes)) {
      box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth + 1);
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

  window.addEventListener("load", mark);
  window.addEventListener("resize", mark);
  window.addEventListener("beforeprint", unfold);
  window.addEventListener("afterprint", fold);
})();
