"use strict";
// Tables that sort by a click on a heading, and commands that copy themselves.
(() => {
  const value = (row, column) => {
    const text = row.cells[column].firstChild?.textContent.trim() ?? "";
    const number = /^[-+]?[\d,]*\.?\d+/.exec(text);
    return number === null ? text : Number(number[0].replaceAll(",", ""));
  };
  const absent = (one) => one === "" || one === "\u2013";
  // Numbers before words; what is absent stays last in both directions.
  const compare = (a, b, sign) => {
    if (absent(a) || absent(b)) return Number(absent(a)) - Number(absent(b));
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    for (const [column, heading] of headings.entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of headings) other.setAttribute("aria-sort", "none");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => compare(value(a, column), value(b, column), up ? 1 : -1));
        table.tBodies[0].append(...rows);
      });
    }
  }
  for (const button of document.querySelectorAll("button.copy")) {
    const code = document.getElementById(button.dataset.copies);
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // A browser that does not lend its clipboard to this page: the reader copies.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected: copy it with Ctrl-C";
      }
    });
  }
})();
