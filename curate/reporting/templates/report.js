"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const spaced = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  for (const tools of all(".tools.js")) tools.hidden = false;

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

  // ---- gallery
  const cards = all(".card[data-mask]");
  const reason = one("#g-reason");
  function filterGallery() {
    const actions = new Set(all("[name=g-action]:checked").map((box) => box.value));
    const words = one("#g-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fits = (!card.dataset.action || actions.has(card.dataset.action)) &&
        (!reason.value || card.dataset.groups.includes(` ${reason.value} `)) &&
        words.every((word) => card.dataset.text.includes(word));
      card.hidden = !fits;
      shown += fits;
    }
    for (const group of all(".group")) group.hidden = !one(".card:not([hidden])", group);
    one("#g-count").textContent = `${shown} of ${cards.length} shown`;
    one("#g-empty").hidden = shown > 0;
  }
  if (reason) {
    reason.addEventListener("change", filterGallery);
    for (const box of all("[name=g-action]")) box.addEventListener("change", filterGallery);
    one("#g-text").addEventListener("input", filterGallery);
    one("#g-outlines").addEventListener("change", (event) => {
      document.body.classList.toggle("bareview", !event.target.checked);
    });
    for (const link of all("a[data-reason]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        reason.value = link.dataset.reason;
        filterGallery();
        one("#gallery").scrollIntoView();
      });
    }
    for (const link of all(".thumbs a")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        zoom(document.getElementById(link.hash.slice(1)));
      });
    }
    filterGallery();
  }

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
      const wide = chart.viewBox.baseVal.width - 4;
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
