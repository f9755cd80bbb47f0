"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const spaced = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  // Two decimals, three near the ends: as in the cards.
  const score = (value) => value.toFixed((value > 0 && value < 0.01) || (value > 0.99 && value < 1) ? 3 : 2);
  for (const tools of all(".tools.js")) tools.hidden = false;
  const embedded = location.protocol === "about:"; // in a notebook's frame, which has no address

  // ---- tables: sort by a click on a heading, filter by words
  const worth = (cell) => (cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v);
  function sortBy(table, column, ascending) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [worth(row.cells[column]), row]);
    const numeric = rows.every(([v]) => v === "" || !Number.isNaN(Number(v)));
    const order = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, undefined, { numeric: true });
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // what is not known stays last
      return ascending ? order(a, b) : order(b, a);
    });
    body.append(...rows.map(([, row]) => row));
  }
  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (head.classList.contains("still")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const ascending = now ? now === "descending" : head.dataset.first !== "desc";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sortBy(table, column, ascending);
      });
    });
  }
  for (const input of all("[data-filter]")) {
    const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
    const texts = new Map(rows.map((row) =>
      [row, all("th, td:not(.num)", row).map((cell) => cell.textContent).join(" ").toLowerCase()]));
    const output = one(`[data-count="${input.dataset.filter}"]`);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        row.hidden = !words.every((word) => texts.get(row).includes(word));
        shown += !row.hidden;
      }
      output.textContent = words.length ? `${spaced(shown)} of ${spaced(rows.length)}` : "";
    });
  }

  // ---- filters: one state for the gallery and the table of all masks, kept in the address
  const cards = all(".card[data-mask]");
  const reason = one("#g-reason");
  const kind = one("#g-kind"); // only where a verifier named any
  const index = one("#index") ? JSON.parse(one("#index").textContent) : null;
  const ACTIONS = ["accept", "review", "reject"];
  const rowOf = new Map(index ? index.mask_ids.map((id, k) => [id, k]) : []);
  const searched = index ? index.mask_ids.map((id, k) => [
    id, index.category_names[index.categories[k]] ?? "", index.image_names[index.images[k]], reasonsOf(k),
  ].join(" ").toLowerCase()) : [];
  function reasonsOf(k) {
    return (index.reason_sets[index.reasons[k]] ?? []).map((r) => index.reason_texts[r]).join("; ");
  }
  let state = new URLSearchParams();
  const span = (name) => (state.get(name) ?? "").split(",").map(Number);
  const within = (value, [low, high]) => value >= low && value <= high;
  const PLOTTED = {
    category: (k, v) => index.category_names[index.categories[k]] === v,
    detector: (k, v) => index.category_names[index.detectors[k]] === v,
    split: (k, v) => (index.split_names[index.splits[k]] ?? "(no split)") === v,
    kind: (k, v) => index.kind_names[index.kinds[k]] === v,
    image: (k, v) => index.images[k] === Number(v),
    quality: (k) => within(index.quality[k] / 1000, span("quality")),
    area: (k) => within(index.areas[k], span("area")),
    rank: (k) => within(index.ranks[k], span("rank")),
    place: (k) => {
      const [x0, y0, x1, y1] = span("place").map((v) => Math.round(v * 1000));
      return within(index.places[2 * k], [x0, x1]) && within(index.places[2 * k + 1], [y0, y1]);
    },
  };
  const actionsNow = () => new Set(state.get("action") === null ? ACTIONS : state.get("action").split(","));
  const wordsNow = () => (state.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const plottedNow = () => [...state].filter(([name]) => name in PLOTTED);
  function fits(k) {
    return plottedNow().every(([name, value]) => PLOTTED[name](k, value));
  }
  function rowsNow() {
    if ((state.get("reason") ?? "").startsWith("group")) return [];
    const [actions, words] = [actionsNow(), wordsNow()];
    const wanted = state.get("reason") ? index.reason_ids.indexOf(state.get("reason")) : null;
    const found = [];
    for (let k = 0; k < index.mask_ids.length; k += 1) {
      if (index.actions[k] >= 0 && !actions.has(ACTIONS[index.actions[k]])) continue;
      if (wanted !== null && !index.reason_sets[index.reasons[k]].includes(wanted)) continue;
      if (words.every((word) => searched[k].includes(word)) && fits(k)) found.push(k);
    }
    return found;
  }
  function filterCards() {
    const [actions, words, wanted] = [actionsNow(), wordsNow(), state.get("reason")];
    const plotted = plottedNow().length > 0;
    let shown = 0;
    for (const card of cards) {
      const k = rowOf.get(Number(card.dataset.mask));
      card.hidden = !((!card.dataset.action || actions.has(card.dataset.action)) &&
        (!wanted || card.dataset.groups.includes(` ${wanted} `)) &&
        words.every((word) => card.dataset.text.includes(word)) &&
        (!plotted || (k !== undefined && fits(k))));
      shown += !card.hidden;
    }
    for (const group of all(".group")) group.hidden = !one(".card:not([hidden])", group);
    one("#g-count").textContent = `${shown} of ${cards.length} shown`;
    one("#g-empty").hidden = shown > 0;
  }
  function showState() {
    if (!reason) return;
    reason.value = state.get("reason") ?? "";
    one("#g-text").value = state.get("q") ?? "";
    if (kind) kind.value = state.get("kind") ?? "";
    for (const box of all("[name=g-action]")) box.checked = actionsNow().has(box.value);
    one("#g-chips").replaceChildren(...plottedNow().map(([name, value]) => {
      const button = document.createElement("button");
      button.type = "button";
      const shown = name === "image" ? index.image_names[value] : value.replaceAll(",", " to ");
      button.textContent = `${name}: ${name === "place" ? "a part of the image" : shown} ×`;
      button.setAttribute("aria-label", `remove the filter ${name}`);
      button.addEventListener("click", () => change({ [name]: null }));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
    filterCards();
    if (index) listRows();
  }
  function change(values) {
    for (const [name, value] of Object.entries(values)) {
      if (value === null || value === "") state.delete(name);
      else state.set(name, value);
    }
    const text = state.toString();
    if (!embedded) history.replaceState(null, "", text ? `#?${text}` : location.pathname + location.search);
    showState();
  }
  function readAddress() {
    if (!location.hash.startsWith("#?")) return false;
    state = new URLSearchParams(location.hash.slice(2));
    showState();
    return true;
  }
  const toGallery = () => one("#gallery").scrollIntoView();
  if (reason) {
    reason.addEventListener("change", () => change({ reason: reason.value }));
    kind?.addEventListener("change", () => change({ kind: kind.value }));
    for (const box of all("[name=g-action]")) {
      box.addEventListener("change", () => {
        const on = all("[name=g-action]:checked").map((one) => one.value);
        change({ action: on.length === ACTIONS.length ? null : on.join(",") || "none" });
      });
    }
    one("#g-text").addEventListener("input", () => change({ q: one("#g-text").value }));
    one("#g-outlines").addEventListener("change", (event) => {
      document.body.classList.toggle("bareview", !event.target.checked);
    });
    for (const link of all("a[data-reason]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        state = new URLSearchParams();
        change({ reason: link.dataset.reason });
        toGallery();
      });
    }
    for (const link of all(".thumbs a, a.shot[href^='#mask-']")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        zoom(document.getElementById(link.hash.slice(1)));
      });
    }
    addEventListener("hashchange", () => readAddress() && toGallery());
  }
  if (embedded) {
    document.addEventListener("click", (event) => {
      const to = event.target.closest("a[href^='#']")?.getAttribute("href");
      if (!to || event.defaultPrevented) return;
      event.preventDefault();
      if (to.startsWith("#?")) {
        state = new URLSearchParams(to.slice(2));
        showState();
        toGallery();
      } else document.getElementById(to.slice(1))?.scrollIntoView();
    });
  }

  // ---- table of all masks with a finding
  const ROWS = 100;
  let [listed, most, sorting] = [[], ROWS, null];
  const NUMBERS = index && { id: index.mask_ids, quality: index.quality, area: index.areas, rank: index.ranks };
  function cell(row, text, kind) {
    const made = row.insertCell();
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }
  const known = (value, shown) => (value < 0 ? "–" : shown);
  function drawRows() {
    const body = one("#m-table tbody");
    body.replaceChildren();
    for (const k of listed.slice(0, most)) {
      const row = body.insertRow();
      const id = index.mask_ids[k];
      cell(row, known(index.ranks[k], spaced(index.ranks[k])));
      const own = cell(row, "", "nowrap");
      const card = document.getElementById(`mask-${id}`);
      const name = document.createElement(card ? "a" : "span");
      name.textContent = id;
      if (card) name.href = `#mask-${id}`;
      const copy = document.createElement("button");
      copy.type = "button";
      copy.className = "copy";
      copy.dataset.copy = id;
      copy.textContent = "copy";
      copy.setAttribute("aria-label", `copy mask_id ${id}`);
      own.append(name, copy);
      cell(row, index.image_names[index.images[k]]);
      cell(row, index.category_names[index.categories[k]] ?? "");
      cell(row, ACTIONS[index.actions[k]] ?? "");
      cell(row, reasonsOf(k));
      cell(row, known(index.quality[k], score(index.quality[k] / 1000)), "num");
      cell(row, spaced(index.areas[k]), "num");
    }
    one("#m-count").textContent = `${spaced(listed.length)} of ${spaced(index.mask_ids.length)} masks`;
    one("#m-more").hidden = listed.length <= most;
    one("#m-clear").hidden = !state.size;
  }
  function listRows() {
    listed = rowsNow();
    most = ROWS;
    if (sorting) {
      const [by, up] = sorting;
      listed.sort((a, b) => (up ? 1 : -1) * (NUMBERS[by][a] - NUMBERS[by][b]));
    }
    drawRows();
  }
  const quotedCell = (text) => `"${String(text).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  function csvOf(rows) {
    const lines = rows.map((k) => [
      index.mask_ids[k], known(index.ranks[k], index.ranks[k]), quotedCell(index.image_names[index.images[k]]),
      quotedCell(index.category_names[index.categories[k]] ?? ""), ACTIONS[index.actions[k]] ?? "",
      quotedCell(reasonsOf(k)), index.quality[k] < 0 ? "" : index.quality[k] / 1000, index.areas[k],
    ].join(","));
    return ["mask_id,rank,image,category,action,reasons,quality_score,area_px", ...lines, ""].join("\r\n");
  }
  if (index) {
    one("#m-more").addEventListener("click", () => { most += ROWS; drawRows(); });
    one("#m-clear").addEventListener("click", () => { state = new URLSearchParams(); change({}); });
    one("#m-csv").addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csvOf(listed)], { type: "text/csv" }));
      link.download = "masks.csv";
      link.click();
      // The browser reads it after the click, on a busy machine much after it.
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    });
    for (const head of all("#m-table [data-by]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of all("#m-table th")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sorting = [head.dataset.by, up];
        listRows();
      });
    }
  }
  for (const part of all(".js")) part.hidden = part.id === "g-empty";
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
    } catch {
      prompt("mask_id", button.dataset.copy);
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  if (!readAddress()) showState();

  // ---- enlarged view
  const dialog = one("#zoom");
  let current = null;
  function zoom(card) {
    current = card;
    const side = one(".caption", card).cloneNode(true);
    for (const details of all("details", side)) details.open = true;
    one(".stage", dialog).replaceChildren(one(".mat", card).cloneNode(true));
    one(".side", dialog).replaceChildren(side);
    const picture = one("img", dialog);
    if (picture) picture.loading = "eager";
    if (!dialog.open) dialog.showModal();
  }
  function go(step) {
    const shown = cards.filter((card) => !card.hidden);
    const at = shown.indexOf(current);
    const next = shown[(at + step + shown.length) % shown.length];
    if (next) zoom(next);
  }
  for (const card of cards) {
    const mat = one(".mat", card);
    mat.tabIndex = 0;
    mat.setAttribute("role", "button");
    mat.setAttribute("aria-label", `enlarge ${one(".id span", card).textContent.trim()}`);
    mat.addEventListener("click", () => zoom(card));
    mat.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      zoom(card);
    });
  }
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === dialog || (button && "close" in button.dataset)) dialog.close();
    else if (button && button.dataset.go) go(Number(button.dataset.go));
  });
  dialog.addEventListener("close", () => current && one(".mat", current).focus({ preventScroll: true }));
  document.addEventListener("keydown", (event) => {
    if (!dialog.open) return;
    if (event.key === "ArrowRight") go(1);
    if (event.key === "ArrowLeft") go(-1);
  });

  // ---- charts: read a bar under the pointer, logarithmic counts, choose a pair
  const tip = one("#tip");
  const shownNumber = (v) => (Math.abs(v) >= 1000 ? spaced(Math.round(v)) : String(Number(v.toPrecision(3))));
  for (const chart of all(".hist")) {
    const counts = chart.dataset.counts.split(",").map(Number);
    const low = Number(chart.dataset.low);
    const step = (Number(chart.dataset.high) - low) / counts.length;
    const edge = (i) => ("log" in chart.dataset ? 10 ** (low + i * step) : low + i * step);
    chart.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
      const wide = Number(chart.dataset.wide);
      const i = Math.min(counts.length - 1, Math.max(0, Math.floor(at.x / wide * counts.length)));
      tip.textContent = `${shownNumber(edge(i))} to ${shownNumber(edge(i + 1))}: ${spaced(counts[i])}`;
      tip.hidden = false;
      const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(4, left)}px`;
      tip.style.top = `${event.clientY - 34}px`;
    });
    chart.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
  const log = one("#s-log");
  if (log) {
    const charts = all("#s-charts .chart");
    const suited = charts.map((chart) => chart.classList.contains("uselog"));
    log.addEventListener("change", () => {
      charts.forEach((chart, i) =>
        chart.classList.toggle("uselog", log.value ? log.value === "log" : suited[i]));
    });
  }
  const clouds = all(".cloud");
  if (clouds.length) {
    const across = one("#c-x");
    const up = one("#c-y");
    one(".clouds").classList.add("one");
    const names = new Map();
    for (const cloud of clouds) {
      names.set(cloud.dataset.x, cloud.dataset.xt);
      names.set(cloud.dataset.y, cloud.dataset.yt);
    }
    for (const select of [across, up]) {
      for (const [value, title] of names) select.append(new Option(title, value));
    }
    const choose = (changed) => {
      if (across.value === up.value) {
        const other = changed === across ? up : across;
        other.value = [...names.keys()].find((name) => name !== changed.value);
      }
      const wanted = new Set([across.value, up.value]);
      for (const cloud of clouds) {
        cloud.hidden = !(wanted.has(cloud.dataset.x) && wanted.has(cloud.dataset.y));
      }
    };
    across.value = clouds[0].dataset.x;
    up.value = clouds[0].dataset.y;
    for (const select of [across, up]) select.addEventListener("change", () => choose(select));
    choose(across);
  }

  // ---- paper: what is folded away cannot be unfolded there
  addEventListener("beforeprint", () => {
    for (const details of all("main details:not(.card details):not(.chart details)")) details.open = true;
  });
})();
