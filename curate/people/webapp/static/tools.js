// From pointer to pixels: which tool does what while the pointer goes down, moves and comes up.

import { dot, polygon, stroke, union } from "/static/paint.js";
import { MOST_LABEL, deleteIsland, fillHole, split } from "/static/regions.js";
import { distance, pointIn } from "/static/viewer.js";

export const TOOLS = [
  { id: "brush", words: "Brush", key: "B", hint: "Paint. With Shift it erases." },
  { id: "eraser", words: "Eraser", key: "E", hint: "Erase. With Shift it paints." },
  { id: "polygon", words: "Polygon", key: "P", hint: "Click corners; Enter, a double click, or the first corner closes it. With Shift or Alt it takes away." },
  { id: "hole", words: "Fill hole", key: "H", hint: "Click a hole." },
  { id: "island", words: "Delete island", key: "D", hint: "Click a piece that is not part of it." },
  { id: "split", words: "Split", key: "X", hint: "Draw a line across; by keyboard, Space begins and ends it. The largest part stays, the others become new masks." },
  { id: "click", words: "Clicks", key: "C", hint: "Click on the object; with Shift or the right button on what is not it." },
  { id: "pan", words: "Move", key: "V", hint: "Drag the picture. Two fingers or the wheel zoom." },
];

const CLOSE_PX = 10;

export class Tools {
  constructor(editor, canvas) {
    this.editor = editor;
    this.canvas = canvas;
    this.tool = "brush";
    this.size = 20;
    this.minus = false; // the switch for those without a Shift key
    this.space = false;
    this.pointers = new Map();
    this.reset();
    this.listen(canvas.node);
  }

  reset() {
    this.box = null;
    this.last = null;
    this.corners = [];
    this.line = null;
    this.drawing = false;
    this.cursor = null;
    this.pointers.clear();
  }

  choose(tool) {
    this.tool = tool;
    this.corners = [];
    this.sketch();
  }

  listen(node) {
    node.addEventListener("contextmenu", (event) => event.preventDefault());
    node.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.canvas.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), pointIn(node, event));
    }, { passive: false });
    node.addEventListener("pointerdown", (event) => this.down(event, pointIn(node, event)));
    node.addEventListener("pointermove", (event) => this.move(event, pointIn(node, event)));
    node.addEventListener("pointerup", (event) => this.up(event, pointIn(node, event)));
    node.addEventListener("pointercancel", (event) => this.drop(event));
    node.addEventListener("pointerleave", () => this.sketch(null));
    node.addEventListener("dblclick", () => this.close());
    node.addEventListener("keydown", (event) => this.key(event));
    node.addEventListener("keyup", (event) => { if (event.key === " ") this.space = false; });
    node.addEventListener("blur", () => { this.space = false; this.cursor = null; this.sketch(null); });
  }

  down(event, at) {
    this.canvas.node.focus({ preventScroll: true });
    this.canvas.node.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    this.cursor = null;
    if (this.pointers.size > 1) {
      this.stop();
      return;
    }
    this.panning = this.tool === "pan" || this.space || event.button === 1;
    if (!this.panning) this.press(this.canvas.toImage(at), this.turned(event));
  }

  // Whether the tool takes away instead of adding.
  turned(event) {
    return (event.shiftKey || event.altKey || event.button === 2) !== this.minus;
  }

  press(point, minus) {
    const { editor } = this;
    if (editor.loading) return;
    if (this.tool === "brush" || this.tool === "eraser") {
      editor.begin();
      this.drawing = true;
      this.value = (this.tool === "brush") !== minus ? 1 : 0;
      this.last = point;
      this.box = union(dot(editor.raster, point, this.value), this.dab(point));
      this.canvas.draw();
    } else if (this.tool === "split") {
      this.line = [point];
    } else if (this.tool === "polygon") this.corner(point, minus);
    else if (this.tool === "hole") this.once(fillHole, point, "There is no hole here.");
    else if (this.tool === "island") this.once(deleteIsland, point, "There is no piece of the mask here.");
    else if (this.tool === "click") editor.click(point, minus ? 0 : 1);
  }

  dab(point) {
    const box = stroke(this.editor.raster, this.last, point, this.size / 2, this.value);
    this.last = point;
    return box;
  }

  once(tool, point, otherwise) {
    this.editor.step((raster) => tool(raster, point), otherwise);
  }

  move(event, at) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.sketch(this.canvas.toImage(at));
      return;
    }
    if (this.pointers.size > 1) this.pinch(event.pointerId, before, at);
    else if (this.panning) this.canvas.pan(at[0] - before[0], at[1] - before[1]);
    else this.drag(event);
    this.pointers.set(event.pointerId, at);
    this.sketch(this.canvas.toImage(at));
  }

  pinch(id, from, to) {
    const [other] = [...this.pointers].filter(([each]) => each !== id).map(([, point]) => point);
    this.canvas.pan((to[0] - from[0]) / 2, (to[1] - from[1]) / 2);
    const middle = [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2];
    this.canvas.zoom(distance(to, other) / Math.max(1, distance(from, other)), middle);
  }

  // Every place that the pointer was, also between two frames.
  drag(event) {
    const places = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const each of places.length ? places : [event]) {
      const point = this.canvas.toImage(pointIn(this.canvas.node, each));
      if (this.drawing) this.box = union(this.box, this.dab(point));
      else if (this.line) this.line.push(point);
    }
    this.canvas.draw();
  }

  up(event, at) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (!this.panning) this.lift();
    this.panning = this.panning && this.pointers.size > 0;
    this.sketch(this.canvas.toImage(at));
  }

  lift() {
    if (this.drawing) {
      this.drawing = false;
      this.editor.commit(this.box);
      this.box = null;
    } else if (this.line) {
      const { line } = this;
      this.line = null;
      if (line.length > 1) this.cut(line);
    }
  }

  cut(line) {
    let otherwise = "The line does not part the mask.";
    this.editor.step((raster) => {
      const first = 1 + raster.data.reduce((most, label) => Math.max(most, label), 1);
      const made = split(raster, line, first);
      if (!made) otherwise = `This line makes too many parts: at most ${MOST_LABEL} masks can be made of one. Cut it into fewer.`;
      return made && made.box;
    }, () => otherwise);
  }

  drop(event) {
    this.pointers.delete(event.pointerId);
    this.stop();
  }

  // A second finger, or a lost pointer: what was begun did not happen.
  stop() {
    if (this.drawing) this.editor.cancel();
    Object.assign(this, { drawing: false, line: null, box: null, panning: false });
    this.canvas.draw();
  }

  corner(point, minus) {
    const { corners, canvas } = this;
    if (!corners.length) this.cornersMinus = minus;
    const near = corners.length > 2 && distance(corners[0], point) * canvas.view.scale < CLOSE_PX;
    const again = corners.length && distance(corners[corners.length - 1], point) * canvas.view.scale < 2;
    if (near) this.close();
    else if (!again) corners.push(point);
    this.sketch(point);
  }

  // Returns whether there was a polygon to close, or a line to end.
  close() {
    const { corners } = this;
    if (this.line) {
      this.lift();
      this.sketch();
      return true;
    }
    if (!corners.length) return false;
    this.corners = [];
    const value = this.cornersMinus ? 0 : 1;
    this.editor.step((raster) => polygon(raster, corners, value), "The polygon changes nothing.");
    this.sketch();
    return true;
  }

  // Returns whether there was something half drawn to give up.
  giveUp() {
    const had = this.corners.length > 0 || this.line !== null || this.drawing;
    this.corners = [];
    this.stop();
    this.sketch();
    return had;
  }

  sketch(point = null) {
    const { canvas } = this;
    const brush = this.tool === "brush" || this.tool === "eraser";
    const line = this.line || (this.corners.length ? [...this.corners, ...(point ? [point] : [])] : null);
    canvas.sketch = {
      line, points: this.editor.points,
      ring: brush && (point || this.cursor) ? [...(point || this.cursor), this.size / 2] : null,
      cross: this.cursor,
    };
    canvas.draw();
  }

  // Without a pointer: arrows move a cross, Space does what a click does.
  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === " ") {
      event.preventDefault();
      if (this.cursor && !event.repeat) {
        const begun = this.line !== null;
        if (!begun) this.press(this.cursor, this.minus);
        if (begun || this.tool !== "split") this.lift();
      } else this.space = !this.cursor;
    }
    if (event.key === "Backspace" && this.corners.length) this.corners.pop();
    if (step) this.walk(event, step);
    if (step || event.key === " " || event.key === "Backspace") this.sketch();
  }

  walk(event, [dx, dy]) {
    event.preventDefault();
    const { w, h } = this.canvas.size;
    const far = event.shiftKey ? 1 : Math.max(1, Math.round(8 / this.canvas.view.scale));
    const from = this.cursor || this.canvas.toImage([w / 2, h / 2]).map((each) => Math.floor(each) + 0.5);
    this.cursor = [from[0] + dx * far, from[1] + dy * far];
    if (this.line) this.line.push(this.cursor);
  }
}
