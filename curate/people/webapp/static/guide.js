// The project's guidelines in a panel over the stage: what is about the category that is shown first.

import * as api from "/static/api.js";
import { announce, byId, el } from "/static/dom.js";

const TAGS = new Set(["h3", "h4", "p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "hr", "br", "a", "img", "span"]);

// Text goes in as text nodes, and no other elements than these are ever made.
function build(node) {
  if (typeof node === "string") return node;
  if (!TAGS.has(node.tag)) return null;
  const children = node.children.map(build);
  if (node.tag === "a") return el("a", { href: node.href, target: "_blank", rel: "noopener noreferrer" }, ...children);
  if (node.tag === "img") return el("img", { src: node.src, alt: node.alt, loading: "lazy" });
  return el(node.tag, {}, ...children);
}

export class Guide {
  constructor(about) {
    this.root = byId("guide");
    this.sections = null;
    this.category = null;
    byId("guide-button").hidden = !about.guidelines;
    this.there = about.guidelines;
  }

  // Returns whether there are guidelines to show.
  async turn() {
    if (!this.there) return false;
    const open = this.root.hidden;
    this.root.hidden = !open;
    byId("guide-button").setAttribute("aria-expanded", String(open));
    if (!open) return true;
    if (!this.sections) await this.load();
    this.draw();
    this.root.focus({ preventScroll: true });
    return true;
  }

  async load() {
    const found = await api.guidelines().catch((error) => ({ problem: error.message }));
    if (found.problem) byId("guide-text").replaceChildren(el("p", { class: "wrong" }, found.problem));
    else this.sections = found.sections;
  }

  // The panel follows the mask that is shown.
  follow(category) {
    if (category === this.category) return;
    this.category = category;
    if (!this.root.hidden) this.draw();
  }

  draw() {
    if (!this.sections) return;
    const name = (this.category ?? "").toLowerCase();
    const own = this.sections.filter((each) => name && each.category?.toLowerCase() === name);
    const rest = this.sections.filter((each) => !own.includes(each));
    const made = (sections) => sections.map((each) => el("section", {}, ...each.nodes.map(build)));
    const more = own.length && rest.length ? [el("hr")] : [];
    byId("guide-text").replaceChildren(...made(own), ...more, ...made(rest));
    this.root.scrollTop = 0;
    announce(own.length ? `Guidelines for ${this.category}` : "Guidelines");
  }
}
