"use strict";
// Filters, groups and opens what the page already has; it loads nothing.
(() => {
  const $ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const chips = $(".chip");
  const search = document.getElementById("search");
  const group = document.getElementById("group");
  const body = document.querySelector("#matrix tbody");
  const lines = $("tr.test", body);
  const results = $(".result");
  const order = chips.map((chip) => chip.dataset.verdict);

  // A test can also be found by the text of its results.
  const byId = new Map(results.map((result) => [result.id, result]));
  for (const line of lines) {
    line.search = $("a.cell", line)
      .map((cell) => byId.get(cell.hash.slice(1)).dataset.text)
      .join(" ");
  }

  function filter() {
    const on = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.verdict));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.includes(word));
    let shown = 0;
    for (const result of results) {
      result.hidden = !(on.has(result.dataset.verdict) && matches(result.dataset.text));
      shown += result.hidden ? 0 : 1;
    }
    for (const line of lines) {
      line.hidden = !(line.dataset.verdicts.split(" ").some((verdict) => on.has(verdict)) && matches(line.search));
    }
    for (const head of $("tr.group", body)) {
      let next = head.nextElementSibling;
      while (next && next.hidden && next.matches(".test")) next = next.nextElementSibling;
      head.hidden = !next || !next.matches(".test");
    }
    document.getElementById("shown").textContent = `${shown} of ${results.length} shown`;
  }

  function regroup() {
    const key = group.value;
    const groups = new Map();
    for (const line of lines) {
      const name = key ? line.dataset[key] : "";
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(line);
    }
    const names = [...groups.keys()];
    if (key === "worst") names.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    const rows = [];
    for (const name of names) {
      if (key) {
        const head = document.createElement("tr");
        head.className = "group";
        const cell = document.createElement("th");
        cell.colSpan = 1000;
        cell.scope = "rowgroup";
        cell.textContent = name;
        head.append(cell);
        rows.push(head);
      }
      rows.push(...groups.get(name));
    }
    body.replaceChildren(...rows);
    filter();
  }

  // The first click on a verdict shows only that one, a click on the only one
  // shows all again.
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const pressed = chips.filter((other) => other.getAttribute("aria-pressed") === "true");
      const all = pressed.length === chips.length;
      const last = pressed.length === 1 && pressed[0] === chip;
      for (const other of chips) {
        if (all || last) other.setAttribute("aria-pressed", String(last || other === chip));
      }
      if (!all && !last) chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }

  function open() {
    const target = location.hash && byId.get(location.hash.slice(1));
    if (!target) return;
    target.hidden = false;
    target.open = true;
    target.scrollIntoView();
  }

  for (const button of $(".copy")) {
    button.hidden = false;
    const code = button.previousElementSibling;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // Not allowed here: select the text for the user to copy.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    });
  }

  search.addEventListener("input", filter);
  group.addEventListener("change", regroup);
  addEventListener("hashchange", open);
  document.getElementById("tools").classList.add("ready");
  filter();
  open();
})();
