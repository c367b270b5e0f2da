"use strict";
// The viewer: a tilt series and its tomogram; points are followed by the projections of the set,
// which the server knows. Places are in pixels and voxels from 0; the first row is the lowest.
const one = (selector) => document.querySelector(selector);
const field = (name) => one(`[name=${name}]`);

const viewer = {
  n: 0,
  about: null,
  point: null,
  out: new Map(),
  images: { tilt: null, slice: null },
};

async function ask(what, asked) {
  const answer = await fetch(`${what}?${new URLSearchParams(asked)}`);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function tell(text) {
  field("said").value = text;
}

async function open(n) {
  try {
    viewer.n = n;
    viewer.about = null;
    viewer.about = await ask("series.json", { n });
  } catch (problem) {
    tell(problem.message);
    return;
  }
  tell("");
  const { about } = viewer;
  viewer.point = null;
  one(".followed").hidden = true;
  const least = about.angles ? Math.min(...about.angles.map(Math.abs)) : null;
  const first = about.angles ? about.angles.findIndex((x) => Math.abs(x) === least) : 0;
  Object.assign(field("tilt"), { max: about.tilts - 1, value: first });
  const deep = about.size ? about.size[2] : 1;
  Object.assign(field("z"), { max: deep - 1, value: Math.floor(deep / 2) });
  showTilt();
  showSlice();
  command();
}

// An image, and then what is drawn on it; only the one that was asked for last is shown.
function load(kind, url) {
  const image = new Image();
  viewer.images[kind] = image;
  image.onload = () => viewer.images[kind] === image && draw(kind);
  image.onerror = async () => {
    if (viewer.images[kind] !== image) return;
    viewer.images[kind] = null;
    draw(kind);
    const answer = await fetch(url);
    if (!answer.ok) tell(await answer.text());
  };
  image.src = url;
}

function showTilt() {
  const i = +field("tilt").value;
  const { about } = viewer;
  const angle = about.angles ? `${about.angles[i]}°` : "";
  field("angle").value = `${i + 1} of ${about.tilts} ${angle}`;
  field("out").checked = marked().has(i);
  load("tilt", `tilt.jpg?n=${viewer.n}&i=${i}`);
}

function showSlice() {
  field("depth").value = field("z").value;
  if (viewer.about.binning) load("slice", `slice.jpg?n=${viewer.n}&z=${field("z").value}`);
  else {
    viewer.images.slice = null;
    draw("slice");
  }
}

function marked() {
  if (!viewer.out.has(viewer.n)) viewer.out.set(viewer.n, new Set());
  return viewer.out.get(viewer.n);
}

// From places of an image to those of its canvas, which has its shape.
function frame(kind) {
  const canvas = one(`.${kind}`);
  const { about } = viewer;
  const size = kind === "tilt" ? about.image_size : about.size && about.size.slice(0, 2);
  if (!size) return null;
  const unit = 800 / Math.max(...size);
  canvas.width = Math.round(size[0] * unit);
  canvas.height = Math.round(size[1] * unit);
  return {
    canvas,
    place: ([x, y]) => [(x + 0.5) * unit, canvas.height - (y + 0.5) * unit],
    back: ([u, v]) => [u / unit - 0.5, (canvas.height - v) / unit - 0.5],
  };
}

function draw(kind) {
  const image = viewer.images[kind];
  const at = frame(kind);
  if (!at) return;
  const pen = at.canvas.getContext("2d");
  if (image) pen.drawImage(image, 0, 0, at.canvas.width, at.canvas.height);
  const i = +field("tilt").value;
  const z = +field("z").value;
  const near = (viewer.about.size || [0, 0, 1])[2] / 40 + 2;
  for (const { kind: what, points, at: places } of field("points").checked ? viewer.about.points : []) {
    pen.strokeStyle = what === "beads" ? "#f0a63c" : "#56b4e9";
    pen.lineWidth = 1.5;
    const shown =
      kind === "tilt" ? places[i] : points.filter((point) => Math.abs(point[2] - z) < near);
    for (const place of shown) ring(pen, at.place(place), what === "beads" ? 8 : 6);
  }
  if (viewer.point) {
    pen.strokeStyle = "#ff5c8a";
    pen.lineWidth = 2.5;
    cross(pen, at.place(kind === "tilt" ? viewer.point.at[i] : viewer.point.point));
  }
  if (kind === "tilt" && marked().has(i)) {
    pen.strokeStyle = "#e05030";
    pen.lineWidth = 6;
    pen.strokeRect(3, 3, at.canvas.width - 6, at.canvas.height - 6);
  }
  at.canvas.dataset.drawn = `${kind} ${kind === "tilt" ? i : z}`;
}

function ring(pen, [x, y], radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.stroke();
}

function cross(pen, [x, y]) {
  pen.beginPath();
  for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    pen.moveTo(x + 5 * a, y + 5 * b);
    pen.lineTo(x + 16 * a, y + 16 * b);
  }
  pen.stroke();
}

async function follow(kind, event) {
  const at = frame(kind);
  if (!at || !viewer.about.aligned) return tell("the series is not aligned: no point is followed");
  const box = at.canvas.getBoundingClientRect();
  const [x, y] = at.back([
    ((event.clientX - box.left) / box.width) * at.canvas.width,
    ((event.clientY - box.top) / box.height) * at.canvas.height,
  ]);
  const asked = { n: viewer.n, x, y, z: field("z").value };
  if (kind === "tilt") asked.i = field("tilt").value;
  try {
    viewer.point = await ask("follow.json", asked);
  } catch (problem) {
    return tell(problem.message);
  }
  field("point").value = viewer.point.point.map((u) => u.toFixed(1)).join(", ");
  one(".followed").hidden = false;
  one(".boxes").hidden = true;
  draw("tilt");
  draw("slice");
}

function boxes() {
  const [x, y, z] = viewer.point.point;
  const image = one(".boxes");
  image.hidden = false;
  image.src = `boxes.jpg?${new URLSearchParams({ n: viewer.n, x, y, z })}`;
}

function mark(on) {
  const i = +field("tilt").value;
  if (on) marked().add(i);
  else marked().delete(i);
  field("out").checked = on;
  draw("tilt");
  command();
}

async function command() {
  const tilts = [...marked()].join(",");
  const said = tilts ? await ask("command.json", { n: viewer.n, tilts }) : { command: null };
  one(".taken").hidden = !said.command;
  one(".taken code").textContent = said.command || "";
}

function step(name, by, show) {
  const input = field(name);
  input.value = +input.value + by;
  show();
}

field("series").addEventListener("change", (event) => open(+event.target.value));
field("tilt").addEventListener("input", showTilt);
field("z").addEventListener("input", showSlice);
field("points").addEventListener("change", () => ["tilt", "slice"].forEach(draw));
field("out").addEventListener("change", (event) => mark(event.target.checked));
field("boxes").addEventListener("click", boxes);
for (const kind of ["tilt", "slice"]) {
  one(`.${kind}`).addEventListener("click", (event) => follow(kind, event));
}
one(".tilt").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step("tilt", -1, showTilt);
  else if (event.key === "ArrowRight") step("tilt", 1, showTilt);
  else if (event.key === "x") mark(!marked().has(+field("tilt").value));
  else return;
  event.preventDefault();
});
one(".slice").addEventListener("keydown", (event) => {
  if (event.key === "ArrowUp") step("z", 1, showSlice);
  else if (event.key === "ArrowDown") step("z", -1, showSlice);
  else return;
  event.preventDefault();
});
open(+field("series").value);
