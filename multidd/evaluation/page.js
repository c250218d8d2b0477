"use strict";
// Without this script all is there to read; with it tables sort and colours change.
(() => {
  const status = document.getElementById("status");

  const theme = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || "") === "dark"
    || (!document.documentElement.dataset.theme && dark.matches);
  const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  showTheme();

  const numberOf = (text) => {
    const match = text.replace(/,/g, "").match(/^\s*<?\s*([-+]?\d*\.?\d+(?:e[-+]?\d+)?)/);
    return match ? parseFloat(match[1]) : NaN;
  };

  const sort = (table, column, direction) => {
    const body = table.tBodies[0];
    const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
    const keyed = [...body.rows].map((row) => ({ row, text: row.cells[column].textContent }));
    keyed.sort((a, b) => {
      if (!numeric) return direction * a.text.localeCompare(b.text);
      const [x, y] = [numberOf(a.text), numberOf(b.text)];
      // Cells without a number come last, whatever the direction.
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return direction * (x - y);
    });
    body.append(...keyed.map((one) => one.row));
  };

  for (const table of document.querySelectorAll("table.sorts")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const name = head.textContent;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((one) => one.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, column, up ? 1 : -1);
        status.textContent = `Sorted by ${name}, ${up ? "ascending" : "descending"}.`;
      });
    });
  }
})();
