"use strict";
// Filters, groups and sorts the matrix and shows details; it loads nothing.
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const data = JSON.parse($("data").textContent);
  let details; // parsed when they are first needed: they may be megabytes
  const detail = (cell) => (details ??= JSON.parse($("details").textContent))[cell.i];
  const table = document.querySelector(".matrix");
  const chips = all("button.chip");
  const rank = new Map(data.verdicts.map((verdict, i) => [verdict, i]));
  const calm = new Set(["pass", "skip", ""]);
  const many = 40; // tests; with more of them what passed is folded

  // Each test has its line; one that stands under several causes has copies.
  const lines = [];
  for (const line of all("tr.test", table)) (lines[line.dataset.i] ??= []).push(line);
  data.tests.forEach((test, i) => {
    test.line = lines[i];
    test.worst = Math.min(...test.k.map((cell) => (cell ? rank.get(cell.v) : 99)));
    test.failing = test.k.filter((cell) => cell && !calm.has(cell.v)).length;
    test.since = test.k.reduce((max, cell) => (cell?.s > max ? cell.s : max), "");
    test.rate = Math.max(...test.k.map((cell) => cell?.f ?? 0));
  });

  // Searching.
  const entities = { lt: "<", gt: ">", amp: "&", "#34": '"', "#39": "'", "#43": "+" };
  const plain = (html) => html.replace(/<[^>]*>/g, " ").replace(/&(#?\w+);/g, (whole, name) => entities[name] ?? whole);
  const texts = [];
  const textOf = (cell) => (texts[cell.i] ??= plain(detail(cell)).toLowerCase());
  const fields = {
    is: (test, cell) => cell.v,
    class: (test, cell) => cell.c,
    cluster: (test, cell) => cell.g,
    cause: (test, cell) => cell.k,
    tracker: (test, cell) => cell.t,
    trend: (test, cell) => cell.r,
    only: (test, cell) => cell.o,
    suite: (test) => test.s,
    tag: (test) => (test.t ?? []).join(" "),
    platform: (test, cell, place) => place.Platform,
    arch: (test, cell, place) => place.Arch,
    accel: (test, cell, place) => place.Accel,
    image: (test, cell, place) => `${place.Image} ${place.Version}`,
  };
  const exact = new Set(["is", "trend", "class"]);

  function parse(query) {
    return (query.toLowerCase().match(/-?(?:\w+:)?(?:"[^"]*"|\S+)/g) ?? []).map((word) => {
      const no = word.length > 1 && word.startsWith("-");
      const [, key, value] = /^(?:(\w+):)?"?([^"]*)"?$/.exec(no ? word.slice(1) : word) ?? [null, undefined, word];
      const field = fields[key];
      const wanted = field || !key ? value : `${key}:${value}`;
      const test = field
        ? (t, cell, place) => {
            const have = (field(t, cell, place) ?? "").toLowerCase();
            return exact.has(key) ? have === wanted : have.includes(wanted);
          }
        : (t, cell) => t.n.toLowerCase().includes(wanted) || textOf(cell).includes(wanted);
      return no ? (...args) => !test(...args) : test;
    });
  }

  function filter() {
    const on = new Set(chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.verdict));
    const terms = parse($("search").value);
    let tests = 0;
    let cells = 0;
    for (const test of data.tests) {
      let shown = 0;
      test.k.forEach((cell, i) => {
        if (cell && on.has(cell.v) && terms.every((term) => term(test, cell, data.places[i]))) shown++;
      });
      tests += shown ? 1 : 0;
      cells += shown;
      for (const line of test.line) line.hidden = !shown;
    }
    const narrow = terms.length > 0 || on.size < chips.length;
    for (const body of all("tbody", table)) {
      const left = body.querySelectorAll("tr.test:not([hidden])").length;
      body.hidden = left === 0;
      const count = body.querySelector(".n");
      if (count) count.textContent = left;
      const shut = body.dataset.shut ? body.dataset.shut === "yes" : !narrow && body.dataset.calm === "yes" && data.tests.length > many;
      fold(body, shut);
    }
    const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
    const total = plural(data.tests.length, "test");
    $("shown").textContent = narrow ? `${tests} of ${total}, ${plural(cells, "cell")}` : total;
    roving();
  }

  function fold(body, shut) {
    body.classList.toggle("shut", shut);
    body.querySelector(".group button")?.setAttribute("aria-expanded", String(!shut));
  }

  // Grouping and sorting.
  const ways = {
    cause: (test) => (test.c?.length ? test.c : [{ n: data.verdicts[test.worst] ?? "", rest: true }]),
    suite: (test) => [{ n: test.s || "not selected" }],
    cluster: (test) => {
      const names = new Set(test.k.filter((cell) => cell?.g).map((cell) => cell.g));
      return names.size ? [...names].map((n) => ({ n })) : [{ n: data.verdicts[test.worst] ?? "", rest: true }];
    },
    verdict: (test) => [{ n: data.verdicts[test.worst] ?? "", rest: true }],
    "": () => [{ n: "" }],
  };
  const sorts = {
    name: (a, b) => a.s.localeCompare(b.s) || a.n.localeCompare(b.n),
    worst: (a, b) => a.worst - b.worst || sorts.name(a, b),
    cells: (a, b) => b.failing - a.failing || sorts.name(a, b),
    since: (a, b) => (a.since < b.since) - (a.since > b.since) || sorts.name(a, b),
    rate: (a, b) => b.rate - a.rate || sorts.name(a, b),
    seconds: (a, b) => b.d - a.d || sorts.name(a, b),
  };
  // The groups of causes come in the order of the page, which is that of the rules.
  const first = all("tbody.cause .group th", table).map((head) => head.firstChild.textContent.trim());

  function arrange() {
    const way = $("group").value;
    const groups = new Map();
    for (const test of [...data.tests].sort(sorts[$("sort").value])) {
      ways[way](test).forEach((entry, i) => {
        const key = (entry.rest ? "1" : "0") + entry.n;
        if (!groups.has(key)) groups.set(key, { name: entry.n, rest: entry.rest, entries: [] });
        groups.get(key).entries.push({ test, unsure: entry.u, copy: i });
      });
    }
    const order = (g) => (g.rest ? 1e6 + (rank.get(g.name) ?? 99) : way === "cause" ? first.indexOf(g.name) : way === "cluster" ? -g.entries.length : 0);
    const sorted = [...groups.values()].sort((a, b) => order(a) - order(b) || a.name.localeCompare(b.name));
    for (const body of all("tbody", table)) body.remove();
    for (const group of sorted) table.append(bodyOf(group, way));
    adopt();
    filter();
  }

  function bodyOf(group, way) {
    const body = document.createElement("tbody");
    body.setAttribute("role", "rowgroup");
    if (way === "cause" && !group.rest) body.className = "cause";
    if (group.name) {
      const row = body.insertRow();
      row.className = "group";
      row.setAttribute("role", "row");
      const head = document.createElement("th");
      head.scope = "rowgroup";
      head.setAttribute("role", "rowheader");
      const count = document.createElement("span");
      count.className = "n";
      count.textContent = group.entries.length;
      head.append(group.name + " ", count);
      row.append(head);
    }
    for (const { test, unsure, copy } of group.entries) {
      const line = (test.line[copy] ??= test.line[0].cloneNode(true));
      const head = line.querySelector("th");
      head.querySelector(".unsure")?.remove();
      if (unsure) {
        const mark = document.createElement("b");
        mark.className = "unsure";
        mark.title = "one of several candidates";
        mark.textContent = "?";
        head.firstChild.after(mark);
      }
      body.append(line);
    }
    return body;
  }

  // adopt makes the heads of groups buttons.
  function adopt() {
    for (const body of all("tbody", table)) {
      const head = body.querySelector(".group th");
      if (!head) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const tests = all("tr.test", body).map((line) => data.tests[line.dataset.i]);
      body.dataset.calm = tests.every((test) => test.failing === 0) ? "yes" : "no";
      button.addEventListener("click", () => toggle(body));
    }
  }

  function toggle(body) {
    body.dataset.shut = body.classList.contains("shut") ? "no" : "yes";
    fold(body, body.dataset.shut === "yes");
    roving();
  }

  // Moving: one cell of the matrix is in the order of tabs.
  let current = null;
  const cellsOf = (line) => [...line.cells].map((td) => td.querySelector("a.cell"));
  const shown = (line) => line.classList.contains("test") && !line.hidden && !line.parentNode.hidden && !line.parentNode.classList.contains("shut");
  const visible = () => all("tr.test", table).filter(shown);

  function roving() {
    if (current && shown(current.closest("tr"))) return;
    const line = visible()[0];
    mark(line ? cellsOf(line).find(Boolean) : null);
  }
  function mark(cell) {
    if (current) current.tabIndex = -1;
    current = cell;
    if (current) current.tabIndex = 0;
  }
  function go(cell) {
    if (!cell) return;
    mark(cell);
    cell.focus({ preventScroll: true });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!$("panel").hidden) location.hash = cell.hash;
  }
  function move(down, right) {
    const rows = visible();
    if (!current) return go(rows.length ? cellsOf(rows[0]).find(Boolean) : null);
    const column = current.closest("td").cellIndex;
    if (right) {
      const cells = cellsOf(current.closest("tr"));
      for (let i = column + right; i > 0 && i < cells.length; i += right) if (cells[i]) return go(cells[i]);
      return;
    }
    for (let i = rows.indexOf(current.closest("tr")) + down; i >= 0 && i < rows.length; i += down) {
      const cells = cellsOf(rows[i]);
      if (cells[column] ?? cells.find(Boolean)) return go(cells[column] ?? cells.find(Boolean));
    }
  }
  const verdictOf = (cell) => data.tests[cell.closest("tr").dataset.i].k[cell.closest("td").cellIndex - 1].v;
  function problem(step) {
    const cells = visible().flatMap(cellsOf).filter((cell) => cell && !calm.has(verdictOf(cell)));
    if (!cells.length) return;
    let i = cells.indexOf(current);
    if (i < 0) {
      const after = cells.findIndex((cell) => current && current.compareDocumentPosition(cell) & Node.DOCUMENT_POSITION_FOLLOWING);
      i = after < 0 ? (step > 0 ? -1 : 0) : step > 0 ? after - 1 : after;
    }
    go(cells[(i + step + cells.length) % cells.length]);
  }

  // Addresses: #t/TEST/PLACE is a cell, #q/QUERY a search.
  function follow() {
    const [kind, ...parts] = location.hash.slice(1).split("/").map((part) => {
      try { return decodeURIComponent(part); } catch { return part; }
    });
    if (kind === "q") {
      $("search").value = parts.join("/");
      close();
      filter();
      $("matrix").scrollIntoView();
    } else if (kind === "t") {
      show(parts[0], parts[1]);
    } else {
      close();
    }
  }

  function show(name, place) {
    let test = data.tests.find((t) => t.n === name && (!place || t.k[data.places.findIndex((p) => p.Name === place)]));
    test ??= data.tests.find((t) => name?.startsWith(t.n + "/")); // a subtest
    if (!test) return;
    let column = data.places.findIndex((p) => p.Name === place);
    if (!test.k[column]) column = test.k.findIndex((cell) => cell && rank.get(cell.v) === test.worst);
    const line = test.line.find(shown) ?? test.line[0];
    line.hidden = false;
    line.parentNode.hidden = false;
    fold(line.parentNode, false);
    all('[aria-current="true"]', table).forEach((cell) => cell.removeAttribute("aria-current"));
    const cell = line.cells[column + 1].querySelector("a.cell");
    cell.setAttribute("aria-current", "true");
    mark(cell);
    $("detail").innerHTML = detail(test.k[column]);
    $("where").textContent = `${data.places[column].Name}`;
    const fresh = $("panel").hidden;
    $("panel").hidden = false;
    $("panel").scrollTop = 0;
    document.documentElement.classList.add("open");
    document.title = `${name} · ${$("where").textContent}`;
    for (const mark of all(".here", $("detail"))) {
      const box = mark.parentNode;
      box.scrollTop = mark.offsetTop - box.offsetTop - box.clientHeight / 2;
    }
    if (fresh) $("scroll").scrollIntoView({ block: "start" });
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (fresh && !table.contains(document.activeElement)) $("panel").focus();
  }

  const title = document.title;
  function close() {
    if ($("panel").hidden) return;
    $("panel").hidden = true;
    document.documentElement.classList.remove("open");
    document.title = title;
    all('[aria-current="true"]', table).forEach((cell) => cell.removeAttribute("aria-current"));
    current?.focus({ preventScroll: true });
  }
  function leave() {
    if (location.hash.startsWith("#t/")) history.pushState(null, "", location.pathname + location.search);
    close();
  }

  async function copy(button) {
    const code = button.parentNode.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      // Not allowed here: select the text for the user to copy.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  }

  const themes = ["", "dark", "light"];
  let theme = 0;
  function paint(next) {
    theme = next;
    document.documentElement.style.colorScheme = themes[theme];
    $("theme").ariaLabel = `Colours: ${themes[theme] || "automatic"}`;
    $("theme").title = $("theme").ariaLabel;
    $("theme").textContent = "◐●○"[theme];
    try { localStorage.setItem("seatrial-theme", themes[theme]); } catch { /* Not kept: no harm. */ }
  }
  const cycle = (select, then) => {
    select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
    then();
  };

  const keys = {
    ArrowDown: () => move(1, 0), j: () => move(1, 0), ArrowUp: () => move(-1, 0), k: () => move(-1, 0),
    ArrowRight: () => move(0, 1), l: () => move(0, 1), ArrowLeft: () => move(0, -1), h: () => move(0, -1),
    n: () => problem(1), p: () => problem(-1),
    "/": () => $("search").focus(),
    g: () => cycle($("group"), arrange), s: () => cycle($("sort"), arrange),
    x: () => current && toggle(current.closest("tbody")),
    c: () => $("panel").hidden || ($("detail").querySelector(".copy") && copy($("detail").querySelector(".copy"))),
    t: () => paint((theme + 1) % themes.length),
    "?": () => $("help").showModal(),
    Escape: leave,
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const arrow = event.key.startsWith("Arrow");
    if (arrow && !table.contains(event.target)) return; // the page scrolls
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // The first click on a verdict shows only that one, a click on the only one
  // shows all again.
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const pressed = chips.filter((other) => other.ariaPressed === "true");
      const everything = pressed.length === chips.length;
      const last = pressed.length === 1 && pressed[0] === chip;
      for (const other of chips) if (everything || last) other.ariaPressed = String(last || other === chip);
      if (!everything && !last) chip.ariaPressed = String(chip.ariaPressed !== "true");
      filter();
    });
  }
  let waiting;
  $("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const query = $("search").value;
      history.replaceState(null, "", query ? "#q/" + encodeURIComponent(query) : location.pathname + location.search);
      filter();
    }, 80);
  });
  $("group").addEventListener("change", arrange);
  $("sort").addEventListener("change", arrange);
  $("theme").addEventListener("click", () => paint((theme + 1) % themes.length));
  $("help-button").addEventListener("click", () => $("help").showModal());
  $("next").addEventListener("click", () => problem(1));
  $("previous").addEventListener("click", () => problem(-1));
  $("close").addEventListener("click", leave);
  addEventListener("click", (event) => {
    const button = event.target.closest(".copy");
    if (button) copy(button);
    const cell = event.target.closest("a.cell");
    if (cell) mark(cell);
  });
  addEventListener("hashchange", follow);

  // The page of a run that goes on is written anew after each test.
  const live = $("live");
  if (live) {
    let again;
    const watch = () => {
      clearTimeout(again);
      if (live.checked) again = setTimeout(() => location.reload(), 10000);
    };
    try { live.checked = sessionStorage.getItem("seatrial-live") === "yes"; } catch { /* No storage. */ }
    live.addEventListener("change", () => {
      try { sessionStorage.setItem("seatrial-live", live.checked ? "yes" : "no"); } catch { /* Only until the next load. */ }
      watch();
    });
    watch();
  }

  for (const cell of all("a.cell", table)) cell.tabIndex = -1;
  document.documentElement.classList.add("js");
  try { paint(Math.max(0, themes.indexOf(localStorage.getItem("seatrial-theme") ?? ""))); } catch { /* No storage. */ }
  adopt();
  filter();
  follow();
})();
