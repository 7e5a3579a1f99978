"use strict";
// What a reader can do with the page. Figures are Vega-Lite's; this fills in axes, rows and colours,
// and keeps what was chosen in the address, so that a page that reads itself again shows the same.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byKey = new Map(data.rows.map((row) => [row.key, row]));
  const quantities = new Map(data.quantities.map((quantity) => [quantity.name, quantity]));
  const element = (id) => document.getElementById(id);
  const hasVega = typeof vegaEmbed === "function";
  const FRONT = "front", TRAINED = "trained", MOST_IN_SVG = 800, NARROW = 380;

  // What is chosen, in the address behind `#`.
  const usual = {
    x: data.axes[0], y: data.axes[1], colour: Object.keys(data.colours)[0], stopped: "", infeasible: "",
    generation: "", shown: "front", sort: `${data.axes[0]} ascending`, card: "", theme: "", paused: "",
  };
  const chosen = { ...usual, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  const directions = ["ascending", "descending"];
  if (!quantities.has(chosen.x)) chosen.x = usual.x;
  if (!quantities.has(chosen.y)) chosen.y = usual.y;
  if (!Object.hasOwn(data.colours, chosen.colour)) chosen.colour = usual.colour;
  if (!/^\d+$/.test(chosen.generation) || Number(chosen.generation) >= data.generations) chosen.generation = "";
  if (!["front", "all"].includes(chosen.shown)) chosen.shown = usual.shown;
  if (!["dark", "light"].includes(chosen.theme)) chosen.theme = "";
  if (!directions.includes(chosen.sort.split(" ")[1])) chosen.sort = usual.sort;
  function keep(changes) {
    Object.assign(chosen, changes);
    const different = Object.entries(chosen).filter(([key, value]) => key in usual && value !== usual[key]);
    history.replaceState(null, "", `#${new URLSearchParams(different)}`);
  }

  function make(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function say(text) {
    element("status").textContent = text;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => { element("status").textContent = ""; }, 2000);
  }

  // Numbers as tables show them.
  function shown(value, kind) {
    if (value === undefined || value === null) return "";
    if (typeof value !== "number") return String(value);
    if (kind === "bytes" && value >= 1000) {
      const power = Math.min(4, Math.floor(Math.log10(value) / 3));
      return `${Number((value / 1000 ** power).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB"][power]}`;
    }
    if (kind === "bytes") return `${value} B`;
    return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
  }

  // Dark and light.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => chosen.theme || (dark.matches ? "dark" : "light");

  // What is drawn at last counts: drawing takes a while, and another may have begun meanwhile.
  const views = new Map(), turns = new Map();
  async function draw(name, place, specification, rows, height, isWide) {
    if (!hasVega || !place) return undefined;
    const turn = (turns.get(name) ?? 0) + 1;
    turns.set(name, turn);
    const sized = isWide ? { width: "container", height, autosize: { type: "fit-x", contains: "padding" } } : {};
    const whole = { ...sized, ...specification, data: { name: "rows", values: rows } };
    const renderer = rows.length > MOST_IN_SVG ? "canvas" : "svg";
    // Rows are copied, since Vega writes into them.
    const holder = make("div");
    const config = structuredClone(data.themes[theme()]);
    if (place.clientWidth < NARROW) config.legend.columns = 2;
    const options = { actions: false, renderer, config, tooltip: { theme: theme() } };
    const isFirst = !views.has(name);
    if (isFirst) place.replaceChildren(holder);
    else { holder.style.cssText = "position:absolute;visibility:hidden;width:100%"; place.append(holder); }
    const made = await vegaEmbed(holder, structuredClone(whole), options);
    if (turns.get(name) !== turn) { made.finalize(); holder.remove(); return undefined; }
    views.get(name)?.finalize();
    holder.style.cssText = "";
    place.replaceChildren(holder);
    views.set(name, made);
    return made;
  }

  // The front. A candidate is on that of a generation until one that dominates it was known.
  function visibleRows() {
    const last = chosen.generation === "" ? data.generations : Number(chosen.generation);
    const states = new Set([FRONT, TRAINED]);
    if (chosen.stopped) states.add("stopped");
    if (chosen.infeasible) states.add("infeasible");
    return data.rows.filter((row) => row.generation <= last && states.has(row.state)).map((row) => {
      const wasOnFront = row.state === TRAINED && row.dominated > last;
      return wasOnFront ? { ...row, state: FRONT } : row;
    });
  }

  function frontSpecification(rows) {
    const x = quantities.get(chosen.x), y = quantities.get(chosen.y);
    const colour = data.colours[chosen.colour];
    const words = {
      ...x.across, ...y.upwards, "@line": data.line, "@colour": colour, "@fill": colour,
      "@tooltip": { field: "tip", type: "nominal" },
    };
    let text = JSON.stringify(data.template);
    for (const [word, value] of Object.entries(words)) text = text.replaceAll(JSON.stringify(word), () => JSON.stringify(value));
    const whole = JSON.parse(text.replaceAll("@x", () => x.name).replaceAll("@y", () => y.name));
    const there = {
      line: rows.some((row) => row.state === FRONT),
      intervals: rows.some((row) => `${y.name}_low` in row),
      "intervals across": rows.some((row) => `${x.name}_low` in row),
      names: rows.some((row) => row.design),
    };
    return { ...whole, layer: whole.layer.filter(({ name }) => there[name] ?? true) };
  }

  // What hovering shows: what there is, as the card has it.
  function tip(row) {
    const shownTip = { genome: row.id, composition: row.name };
    if (data.line !== "state") shownTip.run = row[data.line];
    if (row.design) shownTip.design = row.design;
    Object.assign(shownTip, { generation: row.generation, origin: row.origin, state: row.state });
    if (row.reason) shownTip.reason = row.reason;
    for (const { name, label, kind } of data.quantities) if (name in row) shownTip[label] = shown(row[name], kind);
    return shownTip;
  }

  async function drawFront() {
    if (!hasVega) return;
    const x = quantities.get(chosen.x), y = quantities.get(chosen.y);
    const isThere = (row, { name, is_logarithmic }) => typeof row[name] === "number" && (!is_logarithmic || row[name] > 0);
    const wanted = visibleRows();
    const rows = wanted.filter((row) => isThere(row, x) && isThere(row, y)).map((row) => ({ ...row, tip: tip(row) }));
    element("generation-value").textContent = chosen.generation === "" ? data.generations : chosen.generation;
    if (!rows.length) {
      views.get("front")?.finalize();
      views.delete("front");
      turns.set("front", (turns.get("front") ?? 0) + 1);
      element("front-chart").replaceChildren(make("p", "No design here has a number for both axes.", { class: "muted" }));
      element("front-caption").textContent = "";
      return;
    }
    const made = await draw("front", element("front-chart"), frontSpecification(rows), rows, 400, true);
    if (!made) return;
    Object.assign(element("front-chart").dataset, { x: x.name, y: y.name });
    made.view.addEventListener("click", (event, item) => { if (item?.datum?.key) openCard(item.datum.key); });
    const front = rows.filter((row) => row.state === FRONT).length;
    const missing = wanted.length - rows.length;
    element("front-caption").textContent =
      `${rows.length} designs, ${front} of them on the front over ${data.minimised.join(", ").replaceAll("_", " ") || "the search's objectives"} (filled). `
      + "The line joins those of the front that are best by these two axes."
      + (missing ? ` ${missing} others have no number for one of these axes.` : "");
  }

  function fillControls() {
    for (const id of ["x", "y"]) {
      for (const quantity of data.quantities) element(id).append(make("option", quantity.label, { value: quantity.name }));
    }
    for (const name of Object.keys(data.colours)) element("colour").append(make("option", name, { value: name }));
    element("generation").max = data.generations;
    for (const id of ["x", "y", "colour"]) {
      element(id).value = chosen[id];
      element(id).addEventListener("change", () => { keep({ [id]: element(id).value }); drawFront(); });
    }
    for (const id of ["stopped", "infeasible"]) {
      element(id).checked = Boolean(chosen[id]);
      element(id).addEventListener("change", () => { keep({ [id]: element(id).checked ? "1" : "" }); drawFront(); });
    }
    element("generation").value = chosen.generation === "" ? data.generations : chosen.generation;
    element("generation").addEventListener("input", () => {
      const value = Number(element("generation").value);
      keep({ generation: value >= data.generations ? "" : String(value) });
      drawFront();
    });
    element("controls").addEventListener("submit", (event) => event.preventDefault());
  }

  // The table of designs.
  const columns = [
    { name: "id", label: "genome" }, { name: "name", label: "composition" },
    { name: "state", label: "state" }, { name: "generation", label: "generation", kind: "number" },
    ...data.quantities.filter(({ name, is_minimised }) =>
      is_minimised || ["parameters", "cache_bytes"].includes(name)
      || data.minimised.some((objective) => name === `validated_${objective}`)),
  ];
  if (data.line !== "state") columns.splice(1, 0, { name: data.line, label: data.line });

  function sorted(rows) {
    const [name, direction] = (chosen.sort || "").split(" ");
    if (!columns.some((column) => column.name === name)) return rows;
    const sign = direction === "descending" ? -1 : 1;
    const value = (row) => row[name];
    return [...rows].sort((one, other) => {
      const a = value(one), b = value(other);
      if (a === undefined || a === null) return 1;
      if (b === undefined || b === null) return -1;
      return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
    });
  }

  function tableRows() {
    const isShown = (row) => chosen.shown === "all" || row.state === FRONT || row.design;
    return sorted(data.rows.filter(isShown));
  }

  function fillTable() {
    const head = element("designs").tHead, body = element("designs").tBodies[0];
    const [sortedName, direction] = (chosen.sort || "").split(" ");
    const line = make("tr");
    for (const { name, label, kind } of columns) {
      const cell = make("th", undefined, { scope: "col", "aria-sort": name === sortedName ? direction : "none" });
      if (kind) cell.className = "number";
      const button = make("button", label, { type: "button" });
      button.addEventListener("click", () => {
        const next = name === sortedName && direction === "ascending" ? "descending" : "ascending";
        keep({ sort: `${name} ${next}` });
        fillTable();
        [...element("designs").tHead.querySelectorAll("button")].find((b) => b.textContent === label)?.focus();
      });
      cell.append(button);
      line.append(cell);
    }
    head.replaceChildren(line);
    body.replaceChildren(...tableRows().map(tableRow));
  }

  function tableRow(row) {
    const line = make("tr");
    line.dataset.key = row.key;
    if (row.key === chosen.card) line.className = "chosen";
    for (const { name, kind } of columns) {
      const cell = make("td");
      if (name === "id") {
        const button = make("button", row.id, { type: "button", class: "open" });
        button.addEventListener("click", () => openCard(row.key));
        cell.append(button);
        if (row.design) cell.append(make("span", row.design, { class: "tag" }));
        if (row.recalls === "nothing") cell.append(make("span", "recalls nothing", { class: "tag" }));
      } else if (name === "name") {
        cell.className = "names";
        cell.append(make("bdi", row.name));
      } else {
        cell.textContent = shown(row[name], kind);
        if (kind) cell.className = "number";
      }
      line.append(cell);
    }
    return line;
  }

  // The card of an architecture.
  function cardRows(card) {
    const livs = card.livs.map(([name, parameters, cache], liv) => {
      const [family, what] = data.classes[name];
      return { kind: "liv", liv, class: name, family, what, parameters, cache };
    });
    const arcs = card.arcs.map(([kind, owner, liv, what]) => ({ kind, owner, liv, middle: (owner + liv) / 2, what }));
    return [...livs, ...arcs];
  }

  let cameFrom = null;
  function openCard(key, isOpened = true) {
    const row = byKey.get(key), card = Object.hasOwn(data.cards, key) ? data.cards[key] : null;
    if (!row || !card) { say(`${key} is not on this page`); return; }
    const { id } = row;
    if (isOpened && element("card").hidden) cameFrom = document.activeElement;
    keep({ card: key });
    element("card-title").textContent = row.design ? `${row.design} · ${id}` : id;
    element("card-name").replaceChildren(make("bdi", row.name));
    const facts = [...(data.line === "state" ? [] : [row[data.line]]), `generation ${row.generation}`, row.origin, row.state];
    if (row.recalls === "nothing") facts.push("recalls nothing");
    if (row.reason) facts.push(row.reason);
    element("card-facts").textContent = facts.join(" · ");
    element("card-metrics").tBodies[0].replaceChildren(...data.quantities.filter(({ name }) => row[name] !== undefined).map(({ name, label, kind }) => {
      const line = make("tr");
      const low = row[`${name}_low`], high = row[`${name}_high`];
      const interval = low !== undefined && high !== undefined ? ` [${shown(low, kind)}, ${shown(high, kind)}]` : "";
      line.append(make("td", label), make("td", shown(row[name], kind) + interval, { class: "number" }));
      return line;
    }));
    element("card-genome").textContent = card.genome;
    element("card-alphabet").textContent = card.alphabet;
    element("card-lineage").hidden = !card.parents.length;
    element("card-made").textContent = card.made;
    element("card-parents").replaceChildren(...card.parents.map(({ id: parent, step }) => {
      const item = make("li");
      const parentKey = key.slice(0, key.length - id.length) + parent;
      if (byKey.has(parentKey)) {
        const button = make("button", parent, { type: "button", class: "small" });
        button.addEventListener("click", () => openCard(parentKey));
        item.append("from ", button);
      } else item.append(`from ${parent}`);
      item.append(make("bdi", `: ${step}`));
      return item;
    }));
    element("card-commands").replaceChildren(...card.commands.flatMap(([word, command], number) => {
      const place = make("div", undefined, { class: "copyable" });
      const code = make("code", command, { id: `command-${number}` });
      place.append(code, copyButton(`command-${number}`));
      return [make("div", word, { class: "muted small" }), place];
    }));
    element("card").hidden = false;
    if (isOpened) { element("card").scrollTop = 0; element("card").focus(); }
    drawCard(card);
    document.querySelectorAll("#designs tr[data-key]").forEach((line) => line.classList.toggle("chosen", line.dataset.key === key));
  }

  function drawCard(card) {
    draw("card", element("card-chart"), data.card[card.livs.length], cardRows(card), 0, false);
  }

  function closeCard() {
    if (element("card").hidden) return;
    element("card").hidden = true;
    keep({ card: "" });
    document.querySelectorAll("#designs tr.chosen").forEach((line) => line.classList.remove("chosen"));
    cameFrom?.focus?.();
  }

  // Copies and files.
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say("copied");
  }

  function copyButton(id) {
    const button = make("button", "Copy", { type: "button", class: "small", "data-copy": id });
    button.addEventListener("click", () => copy(element(id).textContent));
    return button;
  }

  function save(name, content, type) {
    const link = make("a", undefined, { download: name, href: URL.createObjectURL(new Blob([content], { type })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say(`saved ${name}`);
  }

  // A cell that a spreadsheet would take for a formula gets an apostrophe.
  function csv(rows) {
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const cell = (value) => {
      let text = value === undefined || value === null ? "" : String(value);
      if (typeof value === "string" && /^[=+\-@]/.test(text)) text = `'${text}`;
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [names.map(cell).join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\n") + "\n";
  }

  function fillActions() {
    for (const place of document.querySelectorAll(".actions")) {
      const name = place.dataset.figure;
      const figure = data.figures.find((one) => one.name === name);
      if (name !== "front" && !figure) continue;
      const add = (label, act) => {
        const button = make("button", label, { type: "button", "aria-label": `${label} of ${figure?.title ?? "the front"}` });
        button.addEventListener("click", act);
        place.append(button, " ");
      };
      add("CSV", () => save(`${name}.csv`, csv(figure ? figure.rows : visibleRows()), "text/csv"));
      if (hasVega) add("SVG", async () => save(`${name}.svg`, await views.get(name).view.toSVG(), "image/svg+xml"));
    }
  }

  function sortable(table) {
    table.querySelectorAll("thead th").forEach((cell, place) => {
      const button = make("button", cell.textContent, { type: "button" });
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        const isDown = cell.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", isDown ? "descending" : "ascending");
        const value = (line) => line.cells[place].textContent.trim();
        const order = (one, other) => {
          const a = parseFloat(value(one)), b = parseFloat(value(other));
          return Number.isNaN(a) || Number.isNaN(b) ? value(one).localeCompare(value(other)) : a - b;
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort((one, other) => (isDown ? -1 : 1) * order(one, other)));
      });
    });
  }

  function drawAll() {
    document.documentElement.dataset.theme = theme();
    drawFront();
    for (const { name, spec, rows, height } of data.figures) draw(name, element(`figure-${name}`), spec, rows, height, true);
    if (byKey.has(chosen.card) && !element("card").hidden) drawCard(data.cards[chosen.card]);
  }

  if (hasVega) fillControls();
  document.querySelectorAll(".swatch").forEach((swatch) => { swatch.style.background = swatch.dataset.colour; });
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("[data-copy]").forEach((button) =>
    button.addEventListener("click", () => copy(element(button.dataset.copy).textContent)));
  element("theme").addEventListener("click", () => { keep({ theme: theme() === "dark" ? "light" : "dark" }); drawAll(); });
  dark.addEventListener("change", () => { if (!chosen.theme) drawAll(); });
  element("card-close").addEventListener("click", closeCard);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeCard(); });
  element("shown").value = chosen.shown;
  element("shown").addEventListener("change", () => { keep({ shown: element("shown").value }); fillTable(); });
  element("table-csv").addEventListener("click", () => save("designs.csv", csv(tableRows()), "text/csv"));
  if (data.rows.length < data.total) {
    element("thinned").textContent =
      `This page holds ${data.rows.length.toLocaleString("en")} of ${data.total.toLocaleString("en")} candidates: the front, known designs, and others evenly. population.csv has all.`;
  }
  // Links within the page scroll, and leave in the address what was chosen.
  document.querySelectorAll("a[href^='#']").forEach((link) => link.addEventListener("click", (event) => {
    event.preventDefault();
    const place = document.querySelector(link.getAttribute("href"));
    place.scrollIntoView();
    place.setAttribute("tabindex", "-1");
    place.focus({ preventScroll: true });
  }));
  fillActions();
  fillTable();
  drawAll();
  if (byKey.has(chosen.card)) openCard(chosen.card, false);

  // While the search runs the page reads itself again, unless somebody is just using a control.
  const age = () => (Date.now() - data.written) / 1000;
  const ago = (seconds) => (seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);
  function keepUp() {
    const live = element("live");
    live.textContent = chosen.paused
      ? "paused: go on" : `search is running, seen ${ago(age())} ago: pause`;
    const isBusy = document.hidden || ["SELECT", "INPUT"].includes(document.activeElement?.tagName);
    if (chosen.paused || isBusy) setTimeout(keepUp, 1000);
    else setTimeout(() => (chosen.paused ? keepUp() : location.reload()), 1000 * data.refresh);
  }
  if (data.running) {
    element("live").addEventListener("click", () => { keep({ paused: chosen.paused ? "" : "1" }); element("live").textContent = chosen.paused ? "paused: go on" : "search is running: pause"; });
    keepUp();
  }
})();
