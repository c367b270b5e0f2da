"use strict";
// What a report does: its table sorts and filters, points over the set choose rows, charts by tilt
// tell their numbers, and the specimen's box turns. All numbers are those that tables show.
const ROWS = 100;
// Columns that count.
const WHOLE = new Set(["place", "tilts", "excluded", "beads", "particles", "errors", "warnings"]);
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
  if (parent) parent.append(made);
  return made;
}

// Round numbers between two, not many.
function ticks(low, high, most, whole) {
  const least = Math.max((high - low) / most, whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    found.push([i * step, (i * step).toFixed(digits)]);
  }
  return found;
}

// The table of series: rows as objects, of which a page is in the document.
class SeriesTable {
  constructor(table) {
    this.body = table.tBodies[0];
    this.heads = [...table.tHead.rows[0].cells];
    this.keys = this.heads.map((head) => head.dataset.key);
    this.titles = new Map();
    this.keys.forEach((key, i) => {
      if (key && i > 1) this.titles.set(key, this.heads[i].textContent.trim());
    });
    const collator = new Intl.Collator("en", { numeric: true });
    const elements = [...table.tBodies].flatMap((body) => [...body.rows]);
    this.rows = elements.map((element, place) => this.row(element, place));
    [...table.tBodies].slice(1).forEach((body) => body.remove());
    this.byName = (a, b) => collator.compare(a.name, b.name);
    this.shown = this.rows;
    this.first = 0;
    this.brushes = new Map();
    this.listeners = [];
    this.controls(table);
    this.filter();
  }

  row(element, place) {
    const cells = [...element.cells];
    const values = { place: place + 1 };
    cells.forEach((cell, i) => {
      const key = this.keys[i];
      if (key && i > 1) values[key] = cell.dataset.v === undefined ? NaN : +cell.dataset.v;
    });
    return {
      element,
      place,
      values,
      name: cells[0].textContent,
      link: cells[0].querySelector("a"),
      far: cells.some((cell) => cell.classList.contains("high") || cell.classList.contains("low")),
      found: values.errors > 0 || values.warnings > 0,
    };
  }

  controls(table) {
    this.form = document.querySelector(".filter");
    this.pager = document.querySelector(".pager");
    this.form.addEventListener("input", () => this.filter());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.elements.clear.addEventListener("click", () => {
      this.form.reset();
      this.brushes.clear();
      this.filter();
    });
    const [back, on] = this.pager.querySelectorAll("button");
    back.addEventListener("click", () => this.turn(-ROWS));
    on.addEventListener("click", () => this.turn(ROWS));
    this.heads.forEach((head, i) => {
      if (head.dataset.key) head.firstElementChild.addEventListener("click", () => this.sort(i));
    });
    table.classList.add("ready");
  }

  // A condition such as `residual > 0.5 and tilts < 41`, or part of a name.
  test(text) {
    const parts = text.trim().toLowerCase().split(/\s+and\s+/);
    const tests = parts.map((part) => {
      const found = /^([\w ,±-]+?)\s*(<=|>=|<|>|=)\s*(-?[\d.]+(?:e-?\d+)?)$/.exec(part);
      const key = found && this.key(found[1]);
      if (!key) return null;
      const limit = +found[3];
      const compare = {
        "<": (x) => x < limit,
        ">": (x) => x > limit,
        "<=": (x) => x <= limit,
        ">=": (x) => x >= limit,
        "=": (x) => x === limit,
      }[found[2]];
      return (row) => compare(row.values[key]);
    });
    if (tests.every(Boolean)) return (row) => tests.every((one) => one(row));
    const words = text.trim().toLowerCase();
    return (row) => row.name.toLowerCase().includes(words);
  }

  key(said) {
    const plain = (title) => title.toLowerCase().replace(/\s*\(.*\)$/, "");
    for (const [key, title] of this.titles) {
      if (said === key || said === title.toLowerCase() || said === plain(title)) return key;
    }
    return null;
  }

  filter() {
    const test = this.test(this.form.elements.filter.value);
    const { far, found } = this.form.elements;
    this.shown = this.rows.filter(
      (row) =>
        test(row) &&
        (!far.checked || row.far) &&
        (!found.checked || row.found) &&
        [...this.brushes.values()].every((inside) => inside(row)),
    );
    this.first = 0;
    this.show();
    this.listeners.forEach((listener) => listener());
  }

  sort(i) {
    const key = this.keys[i];
    const head = this.heads[i];
    const up = head.getAttribute("aria-sort") !== "ascending";
    this.heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    const order =
      key === "name"
        ? (a, b) => sign * this.byName(a, b)
        : (a, b) => {
            const x = a.values[key];
            const y = b.values[key];
            // What is not known comes last, whichever way.
            if (x !== x || y !== y) return (x !== x) - (y !== y) || a.place - b.place;
            return sign * (x - y) || a.place - b.place;
          };
    this.rows.sort(order);
    this.shown = [...this.shown].sort(order);
    this.first = 0;
    this.show();
  }

  turn(by) {
    this.first = Math.min(Math.max(0, this.first + by), Math.max(0, this.shown.length - 1));
    this.show();
  }

  show() {
    const some = this.shown.slice(this.first, this.first + ROWS);
    this.body.replaceChildren(...some.map((row) => row.element));
    const n = this.shown.length;
    const all = this.rows.length;
    this.form.elements.count.value = n === all ? `${all} series` : `${n} of ${all} series`;
    const [back, on] = this.pager.querySelectorAll("button");
    back.disabled = this.first === 0;
    on.disabled = this.first + ROWS >= n;
    this.pager.querySelector("output").value =
      n ? `${this.first + 1} to ${this.first + some.length} of ${n}` : "none";
    this.pager.hidden = all <= ROWS;
  }
}

// A plot of two columns over the set.
class Plot {
  constructor(figure, table) {
    this.table = table;
    this.figure = figure;
    this.y = this.choice("y", figure.dataset.y);
    this.x = this.choice("x", "place");
    this.svg = shape("svg", { viewBox: "0 0 320 200", width: 320, height: 200, role: "img" });
    this.said = document.createElement("output");
    const caption = document.createElement("figcaption");
    caption.append(this.said);
    figure.append(this.label("", this.y), this.svg, this.label("over ", this.x), caption);
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerdown", (event) => this.down(event));
    this.svg.addEventListener("pointerup", (event) => this.up(event));
    this.svg.addEventListener("pointerleave", () => this.hover(null));
    table.listeners.push(() => this.mark());
    this.draw();
  }

  label(words, select) {
    const label = document.createElement("label");
    label.append(words, select);
    return label;
  }

  choice(axis, key) {
    const select = document.createElement("select");
    const columns = [["place", "place in the set"], ...this.table.titles];
    for (const [value, title] of columns) select.add(new Option(title, value, false, value === key));
    select.setAttribute("aria-label", `${axis} axis`);
    select.addEventListener("change", () => {
      this.table.brushes.delete(this);
      this.draw();
      this.table.filter();
    });
    return select;
  }

  range(key) {
    let low = Infinity;
    let high = -Infinity;
    for (const row of this.table.rows) {
      const value = row.values[key];
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!(low <= high)) return [0, 1];
    const room = 0.05 * (high - low) || 0.5 * Math.abs(high) || 1;
    return [low - room, high + room];
  }

  draw() {
    const [left, top, right, bottom] = [46, 8, 312, 172];
    const [a, b] = this.range(this.x.value);
    const [c, d] = this.range(this.y.value);
    const place = (row) => [
      left + ((row.values[this.x.value] - a) / (b - a)) * (right - left),
      bottom - ((row.values[this.y.value] - c) / (d - c)) * (bottom - top),
    ];
    this.at = new Map();
    for (const row of this.table.rows) {
      const at = place(row);
      if (at[0] === at[0] && at[1] === at[1]) this.at.set(row, at);
    }
    this.svg.replaceChildren();
    this.svg.classList.toggle("crowded", this.at.size > 800);
    const title = (select) => select.selectedOptions[0].textContent;
    this.svg.setAttribute("aria-label", `${title(this.y)} over ${title(this.x)}; the table has it`);
    const across = (x) => left + ((x - a) / (b - a)) * (right - left);
    const up = (y) => bottom - ((y - c) / (d - c)) * (bottom - top);
    for (const [y, text] of ticks(c, d, 4, WHOLE.has(this.y.value))) {
      shape("path", { class: "grid", d: `M${left} ${up(y)}H${right}` }, this.svg);
      shape("text", { class: "up", x: left - 5, y: up(y) + 3.5 }, this.svg).textContent = text;
    }
    for (const [x, text] of ticks(a, b, 5, WHOLE.has(this.x.value))) {
      shape("text", { class: "across", x: across(x), y: bottom + 14 }, this.svg).textContent = text;
    }
    shape("path", { class: "frame", d: `M${left} ${top}V${bottom}H${right}` }, this.svg);
    for (const kind of ["all", "on", "far", "here"]) {
      this[kind] = shape("path", { class: `points ${kind}` }, this.svg);
    }
    this.brush = shape("rect", { class: "brush", visibility: "hidden" }, this.svg);
    this.mark();
  }

  path(rows) {
    const dots = rows.filter((row) => this.at.has(row)).map((row) => this.at.get(row));
    return dots.map(([x, y]) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
  }

  mark() {
    const { rows, shown } = this.table;
    this.all.setAttribute("d", shown.length === rows.length ? "" : this.path(rows));
    this.on.setAttribute("d", this.path(shown));
    this.far.setAttribute("d", this.path(shown.filter((row) => this.stands(row))));
    if (!this.table.brushes.has(this)) this.brush.setAttribute("visibility", "hidden");
  }

  stands(row) {
    const i = this.table.keys.indexOf(this.y.value);
    if (i < 0) return false;
    const { classList } = row.element.cells[i];
    return classList.contains("high") || classList.contains("low");
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * 320,
      ((event.clientY - box.top) / box.height) * 200,
    ];
  }

  nearest([x, y]) {
    let best = null;
    let least = 144;
    for (const row of this.table.shown) {
      const at = this.at.get(row);
      const far = at ? (at[0] - x) ** 2 + (at[1] - y) ** 2 : Infinity;
      if (far < least) [best, least] = [row, far];
    }
    return best;
  }

  hover(row) {
    this.here.setAttribute("d", row ? this.path([row]) : "");
    const text = (key) => {
      const i = this.table.keys.indexOf(key);
      return i < 0 ? row.values[key] : row.element.cells[i].textContent;
    };
    this.said.value = row ? `${row.name.slice(0, 60)}: ${text(this.y.value)}` : "";
  }

  down(event) {
    this.start = this.point(event);
    this.svg.setPointerCapture(event.pointerId);
  }

  move(event) {
    const at = this.point(event);
    if (!this.start) return this.hover(this.nearest(at));
    const [x, y] = [0, 1].map((i) => Math.min(at[i], this.start[i]));
    const [width, height] = [0, 1].map((i) => Math.abs(at[i] - this.start[i]));
    for (const [key, value] of Object.entries({ x, y, width, height, visibility: "visible" })) {
      this.brush.setAttribute(key, value);
    }
  }

  up(event) {
    const [end, start] = [this.point(event), this.start];
    this.start = null;
    if (!start) return;
    const [low, high] = [Math.min, Math.max].map((of) => [0, 1].map((i) => of(start[i], end[i])));
    if (high[0] - low[0] < 4 && high[1] - low[1] < 4) {
      const row = this.nearest(end);
      if (row) row.link.click();
      this.table.brushes.delete(this);
    } else {
      this.table.brushes.set(this, (row) => {
        const at = this.at.get(row);
        return Boolean(at) && [0, 1].every((i) => at[i] >= low[i] && at[i] <= high[i]);
      });
    }
    this.table.filter();
  }
}

// The numbers of a chart by tilt, as the table of the series has them.
class Chart {
  constructor(svg) {
    this.svg = svg;
    const said = svg.dataset;
    const table = svg.closest(".series").querySelector(".by-tilt");
    const heads = [...table.tHead.rows[0].cells];
    const column = (key) => heads.findIndex((head) => head.dataset.key === key);
    const number = (text) => (text === "-" ? NaN : +text);
    const place = column(said.x);
    this.keys = said.y.trim().split(" ").map((key) => [heads[column(key)].textContent, column(key)]);
    this.rows = [...table.tBodies[0].rows].map((row) => [number(row.cells[place].textContent), row]);
    [this.left, this.right, this.low, this.high] = ["left", "right", "low", "high"].map(
      (key) => +said[key],
    );
    this.x = heads[place].textContent;
    this.output = svg.parentElement.querySelector("output");
    this.line = shape("path", { class: "chart-mark" }, svg);
  }

  hover(event) {
    const box = this.svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * this.svg.viewBox.baseVal.width;
    const value =
      this.low + ((at - this.left) / (this.right - this.left)) * (this.high - this.low);
    let best = null;
    for (const one of this.rows) {
      if (best === null || Math.abs(one[0] - value) < Math.abs(best[0] - value)) best = one;
    }
    if (best === null) return;
    const x =
      this.left + ((best[0] - this.low) / (this.high - this.low)) * (this.right - this.left);
    this.line.setAttribute("d", `M${x} 8V156`);
    const said = this.keys.map(([title, i]) => `${title}: ${best[1].cells[i].textContent}`);
    this.output.value = `${this.x.replace(/ \(.*/, "")} ${best[0]}: ${said.join(", ")}`;
  }
}

// The specimen's box from any side, in parallel projection.
class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.said = JSON.parse(canvas.parentElement.querySelector("script").textContent);
    this.reset();
    canvas.addEventListener("pointerdown", (event) => {
      this.last = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      this.turn((event.clientX - this.last[0]) / 120, (event.clientY - this.last[1]) / 120);
      this.last = [event.clientX, event.clientY];
    });
    canvas.addEventListener("pointerup", () => (this.last = null));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (document.activeElement !== canvas) return;
        event.preventDefault();
        this.zoomed(event.deltaY < 0 ? 1.1 : 1 / 1.1);
      },
      { passive: false },
    );
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  reset() {
    [this.about, this.over, this.zoom] = [0.5, -1.1, 1];
    this.draw();
  }

  turn(about, over) {
    this.about += about;
    this.over += over;
    this.draw();
  }

  zoomed(by) {
    this.zoom = Math.min(Math.max(this.zoom * by, 0.3), 20);
    this.draw();
  }

  key(event) {
    const turns = {
      ArrowLeft: [-0.1, 0],
      ArrowRight: [0.1, 0],
      ArrowUp: [0, -0.1],
      ArrowDown: [0, 0.1],
    };
    if (turns[event.key]) this.turn(...turns[event.key]);
    else if (event.key === "+") this.zoomed(1.1);
    else if (event.key === "-") this.zoomed(1 / 1.1);
    else if (event.key === "0") this.reset();
    else return;
    event.preventDefault();
  }

  place([x, y, z]) {
    const [w, h, d] = this.said.size;
    const [a, b, c] = [x - w / 2, y - h / 2, z - d / 2];
    const [ca, sa] = [Math.cos(this.about), Math.sin(this.about)];
    const [co, so] = [Math.cos(this.over), Math.sin(this.over)];
    const across = ca * a - sa * b;
    const deep = sa * a + ca * b;
    const scale = (this.zoom * 0.95 * this.canvas.height) / Math.hypot(w, h, d);
    return [
      this.canvas.width / 2 + across * scale,
      this.canvas.height / 2 - (co * deep - so * c) * scale,
      so * deep + co * c,
    ];
  }

  draw() {
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.font = "20px sans-serif";
    const line = (from, to, name, width, dash) => {
      const [a, b] = [this.place(from), this.place(to)];
      pen.beginPath();
      pen.setLineDash(dash || []);
      pen.moveTo(a[0], a[1]);
      pen.lineTo(b[0], b[1]);
      pen.strokeStyle = colour(name);
      pen.lineWidth = width;
      pen.stroke();
      return b;
    };
    const word = (text, [x, y], name) => {
      pen.fillStyle = colour(name);
      pen.fillText(text, x + 5, y - 5);
    };
    const [w, h, d] = this.said.size;
    for (const [x, y] of [[0, 0], [1, 0], [1, 1], [0, 1]]) {
      line([x * w, y * h, 0], [x * w, y * h, d], "--quiet", 1.5);
      for (const z of [0, d]) {
        line([x * w, y * h, z], [(1 - y) * w, x * h, z], "--quiet", 1.5);
      }
    }
    word("x", line([0, 0, 0], [w, 0, 0], "--ink", 3), "--ink");
    word("y", line([0, 0, 0], [0, h, 0], "--ink", 3), "--ink");
    word("z", line([0, 0, 0], [0, 0, d], "--ink", 3), "--ink");
    line([w / 2, 0, d / 2], [w / 2, h, d / 2], "--quiet", 2, [8, 6]);
    const far = 0.35 * Math.max(w, h);
    for (const { angle, beam } of this.said.views) {
      const [x, y, z] = beam.map((u, i) => this.said.size[i] / 2 + u * far);
      word(`${angle}°`, line([w / 2, h / 2, d / 2], [x, y, z], "--c2", 2, [3, 3]), "--quiet");
    }
    for (const { name, points } of this.said.groups) {
      const placed = [];
      for (let i = 0; i < points.length; i += 3) placed.push(this.place(points.slice(i, i + 3)));
      placed.sort((a, b) => a[2] - b[2]);
      pen.fillStyle = colour(name === "beads" ? "--c1" : "--c0");
      for (const [x, y] of placed) {
        pen.beginPath();
        if (name === "beads") pen.arc(x, y, 5, 0, 7);
        else pen.rect(x - 3, y - 3, 6, 6);
        pen.fill();
      }
    }
    this.canvas.dataset.turned = `${this.about.toFixed(2)} ${this.over.toFixed(2)}`;
  }
}

// Charts and scenes are made when they are first seen: a file may have hundreds.
function wake() {
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      new Scene(target);
    }
  });
  document.querySelectorAll(".scene").forEach((canvas) => seen.observe(canvas));
  const charts = new Map();
  document.addEventListener("pointermove", (event) => {
    const svg = event.target instanceof Element && event.target.closest(".chart");
    if (!svg) return;
    if (!charts.has(svg)) charts.set(svg, new Chart(svg));
    charts.get(svg).hover(event);
  });
}

// The heading of what was opened is where a reader goes on.
function opened() {
  const series = /^#s\d+$/.test(location.hash) && document.querySelector(location.hash);
  scrollTo(0, 0);
  if (series) series.querySelector("h2").focus({ preventScroll: true });
}

const set = document.querySelector("table.set");
if (set) {
  const table = new SeriesTable(set);
  document.querySelectorAll(".plot").forEach((figure) => new Plot(figure, table));
  addEventListener("hashchange", opened);
}
wake();
