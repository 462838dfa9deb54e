// The page of the search: the items of the database, a query, and what is nearest to it. Text is never taken as markup.
"use strict";
const at = (id) => document.getElementById(id);
const BARS = { same: "--axis", set: "--text", differs: "--s1" };
let shown = 0;

function make(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function tell(text, isError) {
  at("status").textContent = text;
  at("status").className = isError ? "error" : "";
}

async function ask(address, options) {
  const answer = await fetch(address, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// A bar for each bit, tall where it is 1; where a query is there, those that differ from its bits in another colour.
function bits(code, other) {
  const width = 6, canvas = make("canvas", { className: "bits", width: code.length * width, height: 28 });
  const differ = other === null ? 0 : [...code].filter((bit, place) => bit !== other[place]).length;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", other === null ? `code of ${code.length} bits` : `${differ} of ${code.length} bits differ`);
  const draw = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colours = Object.fromEntries(Object.entries(BARS).map(([key, name]) => [key, style.getPropertyValue(name)]));
  [...code].forEach((bit, place) => {
    const isOther = other !== null && bit !== other[place];
    draw.fillStyle = isOther ? colours.differs : bit === "1" ? colours.set : colours.same;
    draw.fillRect(place * width, bit === "1" ? 0 : 16, width - 1, bit === "1" ? 28 : 12);
  });
  return canvas;
}

function look(item) {
  const box = make("div", { className: "look" });
  box.append(item.film ? make("img", { src: item.film, alt: `frames of ${item.id}`, loading: "lazy" }) : make("span", { textContent: "no video here" }));
  return box;
}

function play(box, item, isPlaying) {
  box.querySelector("video")?.remove();
  box.classList.toggle("playing", isPlaying);
  if (!isPlaying) return;
  const video = make("video", { src: item.video, muted: true, loop: true, playsInline: true, autoplay: true });
  video.setAttribute("aria-label", `video ${item.id}`);
  video.addEventListener("error", () => play(box, item, false));
  box.append(video);
}

function player(box, item) {
  const button = make("button", { type: "button", textContent: "Play" });
  button.setAttribute("aria-label", `Play ${item.id}`);
  const set = (isPlaying) => {
    play(box, item, isPlaying);
    button.textContent = isPlaying ? "Stop" : "Play";
    button.setAttribute("aria-label", `${button.textContent} ${item.id}`);
  };
  const toggle = () => set(!box.classList.contains("playing"));
  button.addEventListener("click", toggle);
  box.addEventListener("click", toggle);
  box.classList.add("plays");
  return button;
}

function card(item, other) {
  const box = look(item), search = make("button", { type: "button", textContent: "Search with" });
  search.setAttribute("aria-label", `Search with ${item.id}`);
  search.addEventListener("click", () => searchBy(item));
  const distance = item.distance === undefined ? null : make("strong", { textContent: `d ${item.distance}` });
  const name = make("p", { className: "name" }, distance, item.id, item.label === null ? null : make("span", { className: "note", textContent: ` ${item.label}` }));
  return make("li", { className: "card" }, box, name, bits(item.code, other), make("div", { className: "act" }, item.video ? player(box, item) : null, search));
}

function showQuery(name, code, item) {
  const box = item ? look(item) : null;
  at("query").replaceChildren(make("div", { className: "card" }, make("p", { className: "name" }, make("strong", { textContent: "query" }), name), box, bits(code, null)));
}

function showResults(found, name, item) {
  showQuery(name, found.query.code, item);
  at("heading").textContent = "Nearest";
  at("more").hidden = true;
  at("results").replaceChildren(...found.results.map((result) => card(result, found.query.code)));
  tell(`${found.results.length} results for ${name}`);
}

let repeat = null;
async function search(again) {
  repeat = again;
  tell("searching ...");
  try { await again(); } catch (error) { tell(error.message, true); }
}

const asked = () => ({ k: Number(at("count").value) || 12, label: at("label").value });

// The address names the item that was searched with, so that it can be kept or sent.
function searchBy(item) {
  history.replaceState(null, "", `#${encodeURIComponent(item.id)}`);
  search(async () => {
    const body = JSON.stringify({ id: item.id, ...asked() });
    showResults(await ask("/search", { method: "POST", headers: { "content-type": "application/json" }, body }), item.id, item);
    at("query").scrollIntoView({ block: "nearest" });
  });
}

function searchFile(file) {
  const most = Number(at("file").dataset.most);
  if (file.size > most) return tell(`${file.name} has more than ${most.toLocaleString("en")} bytes`, true);
  search(async () => {
    const headers = { "content-type": "application/octet-stream" };
    showResults(await ask(`/search?${new URLSearchParams(asked())}`, { method: "POST", headers, body: file }), file.name, null);
  });
}

async function list(start) {
  const found = await ask(`/items?${new URLSearchParams({ start, label: at("label").value })}`);
  const cards = found.items.map((item) => card(item, null));
  at("heading").textContent = "Database";
  if (start === 0) at("results").replaceChildren(...cards); else at("results").append(...cards);
  shown = start + cards.length;
  at("more").hidden = shown >= found.total;
  tell(`${shown} of ${found.total} items`);
  return found;
}

function listAll() {
  repeat = null;
  history.replaceState(null, "", location.pathname);
  at("query").replaceChildren();
  list(0).catch((error) => tell(error.message, true));
}

async function begin() {
  const found = await list(0);
  at("about").textContent = `${found.total} items, ${found.bits} bits`;
  at("drop").hidden = !found.uploads;
  at("file").dataset.most = found.most_bytes;
  at("label").append(...found.labels.map((label) => make("option", { value: label, textContent: label })));
  if (location.hash) searchBy(await ask(`/items/${location.hash.slice(1)}`));
}

at("list").addEventListener("click", listAll);
at("more").addEventListener("click", () => list(shown).catch((error) => tell(error.message, true)));
for (const id of ["label", "count"]) at(id).addEventListener("change", () => (repeat ? search(repeat) : listAll()));
at("file").addEventListener("change", (event) => event.target.files[0] && searchFile(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) searchFile(event.dataTransfer.files[0]);
  });
}
begin().catch((error) => tell(error.message, true));
