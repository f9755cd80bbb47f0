// A screen of masks that are likely good: what is not taken out is accepted at one key.

import { announce, byId, el, plural, setText } from "/static/dom.js";

const CELL_PX = 148; // what a picture wants at least
const CAPTION_PX = 30;
const GAP_PX = 10;
const OTHERS_PX = 215; // height of what stands above and below
const MOST = 24;
const LEAST = 4;
const NEXT = { accept: "out", out: "accept", reject: "accept" };

export class Grid {
  constructor(act, proposals) {
    this.proposals = proposals;
    this.root = byId("grid");
    this.cells = new Map(); // entry -> {node, state}
    this.focused = 0;
    this.root.addEventListener("click", (event) => {
      const node = event.target.closest(".cell");
      if (node) act("out", node);
    });
    this.root.addEventListener("focusin", (event) => {
      const k = this.nodes().indexOf(event.target.closest(".cell"));
      if (k >= 0) this.rove(k);
    });
  }

  // As many as fit the window without scrolling.
  capacity() {
    const { columns, rows } = this.shape();
    return Math.max(LEAST, Math.min(MOST, columns * rows));
  }

  // The most cells whose pictures are large enough, and of those the largest pictures.
  shape() {
    const width = Math.max(300, document.documentElement.clientWidth - 40) + GAP_PX;
    const height = Math.max(300, innerHeight - OTHERS_PX) + GAP_PX;
    let best = { columns: 2, rows: 2, side: 0 };
    for (let columns = 2; columns <= 12; columns++) {
      for (let rows = 2; rows <= 8 && columns * rows <= MOST; rows++) {
        const side = Math.min(width / columns - GAP_PX, height / rows - GAP_PX - CAPTION_PX);
        const more = columns * rows - best.columns * best.rows;
        if (side >= CELL_PX && (more > 0 || (more === 0 && side > best.side))) best = { columns, rows, side };
      }
    }
    return best;
  }

  nodes() {
    return [...this.root.children];
  }

  // Shows these entries; the state of those that were here already stays.
  show(entries) {
    const { columns, rows } = this.shape();
    this.root.style.setProperty("--columns", columns);
    this.root.style.setProperty("--rows", rows);
    const cells = new Map();
    for (const entry of entries) cells.set(entry, this.cells.get(entry) || { state: "accept", node: null });
    this.cells = cells;
    for (const [entry, cell] of cells) {
      // A mask that cannot be seen on its picture is not accepted along with the others, nor is one
      // on which people disagree.
      // And a proposal whose category nobody has said cannot be added.
      if ((entry.error || !entry.card.path || entry.card.unsettled || this.proposals.lacksCategory(entry.card)) && cell.node?.dataset.ready !== "true") cell.state = "out";
      if (!cell.node || (entry.ready && cell.node.dataset.ready !== "true")) cell.node = this.draw(entry, cell.state);
    }
    const nodes = [...cells.values()].map((cell) => cell.node);
    const old = this.nodes();
    if (old.length !== nodes.length || old.some((node, k) => node !== nodes[k])) this.put(nodes);
    this.count();
  }

  put(nodes) {
    const inside = this.root.contains(document.activeElement) || document.activeElement === document.body;
    this.root.replaceChildren(...nodes);
    this.rove(Math.min(this.focused, nodes.length - 1));
    if (inside && nodes.length) nodes[this.focused].focus({ preventScroll: true });
  }

  draw(entry, state) {
    const { card } = entry;
    const mat = el("span", { class: "mat" });
    if (entry.planes) {
      entry.planes[0].removeAttribute("style");
      mat.append(entry.planes[0]);
    } else mat.append(el("span", { class: "coming" }, "…"));
    mat.style.setProperty("--ratio", card.window.w / card.window.h);
    const caption = el("span", { class: "caption" }, el("span", { class: "name" }, card.category ?? "no category"), el("span", { class: "verdict" }));
    const node = el("div", {
      class: "cell", role: "checkbox", tabindex: "-1", "data-item": card.item, "data-ready": String(entry.ready),
    }, el("span", { class: "frame" }, mat), caption);
    this.mark(node, state, card);
    return node;
  }

  mark(node, state, card) {
    node.dataset.state = state;
    node.setAttribute("aria-checked", String(state === "accept"));
    const verdict = { accept: "", out: card.unsettled ? "not settled" : "taken out", reject: "reject" }[state];
    setText(node.querySelector(".verdict"), verdict);
    node.setAttribute("aria-label", `${card.category ?? "no category"}, ${state === "accept" ? "accept" : verdict}`);
  }

  entryOf(node) {
    return [...this.cells.keys()].find((entry) => this.cells.get(entry).node === node);
  }

  turn(node, to = null) {
    const target = node || this.nodes()[this.focused];
    const entry = target && this.entryOf(target);
    if (!entry) return;
    const cell = this.cells.get(entry);
    const wanted = to || NEXT[cell.state];
    cell.state = to && cell.state === to ? "accept" : wanted;
    this.mark(target, cell.state, entry.card);
    this.rove(this.nodes().indexOf(target));
    this.count();
    announce(target.getAttribute("aria-label"));
  }

  count() {
    const states = [...this.cells].filter(([entry]) => entry.ready).map(([, cell]) => cell.state);
    const accepted = states.filter((state) => state === "accept").length;
    const rejected = states.filter((state) => state === "reject").length;
    const verb = this.proposals.on ? "Add" : "Accept";
    const all = accepted === states.length ? " all" : "";
    const also = rejected ? `, ${this.proposals.on ? "refuse" : "reject"} ${rejected}` : "";
    setText(byId("screen-reject"), `${this.proposals.on ? "Refuse" : "Reject"} ${accepted + rejected === states.length ? "all " : ""}${accepted + rejected}`);
    setText(byId("screen-words"), `${verb}${all} ${accepted}${also}`);
    const out = states.filter((state) => state === "out").length;
    const rest = out ? ` ${plural(out, "mask is", "masks are")} shown alone afterwards.` : "";
    setText(byId("grid-words"), `Take out what is not right, then accept the rest.${rest}`);
  }

  // Those whose picture could be seen, by what is to become of them.
  sorted() {
    const by = { accept: [], out: [], reject: [] };
    for (const [entry, cell] of this.cells) if (entry.ready) by[cell.state].push(entry);
    return by;
  }

  forget(entries) {
    for (const entry of entries) this.cells.delete(entry);
  }

  move(act) {
    const nodes = this.nodes();
    if (!nodes.length) return;
    const columns = Number(this.root.style.getPropertyValue("--columns"));
    const step = { left: -1, right: 1, up: -columns, down: columns }[act];
    const to = this.focused + step;
    if (to < 0 || to >= nodes.length) return;
    this.rove(to);
    nodes[to].focus();
  }

  rove(k) {
    this.focused = Math.max(0, k);
    this.nodes().forEach((node, at) => node.setAttribute("tabindex", at === this.focused ? "0" : "-1"));
  }
}
