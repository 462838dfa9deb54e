// The page of the search: the items of the database, a query, and what is nearest to it. Text is never taken as markup.
"use strict";
const at = (id) => document.getElementById(id);
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
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
  const paths = { same: "", set: "", differs: "" };
  [...code].forEach((bit, place) => {
    const kind = other !== null && bit !== other[place] ? "differs" : bit === "1" ? "set" : "same";
    paths[kind] += bit === "1" ? `M${place} 0h.85v14h-.85z` : `M${place} 8h.85v6h-.85z`;
  });
  const differ = other === null ? 0 : [...code].filter((bit, place) => bit !== other[place]).length;
  const told = other === null ? `code of ${code.length} bits` : `${differ} of ${code.length} bits differ`;
  return draw("svg", { class: "bits", viewBox: `0 0 ${code.length} 14`, preserveAspectRatio: "none", role: "img", "aria-label": told },
    ...Object.entries(paths).map(([kind, d]) => draw("path", { class: kind, d })));
}

function draw(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function look(item) {
  const box = make("div", { className: "look" });
  box.append(item.film ? make("img", { src: item.film, alt: `frames of ${item.id}`, loading: "lazy" }) : make("span", { textContent: "no video here" }));
  return box;
}

// Shows the clip itself, or the frames of its strip in turn where there is none that the browser can decode: in the box
// ("playing"), or over what is below it for as long as the pointer rests there ("preview"); null ends it.
function play(box, item, how) {
  box.querySelector(".moving")?.remove();
  for (const name of ["playing", "preview"]) box.classList.toggle(name, name === how);
  if (how === null) return;
  const frames = make("img", { className: "moving", src: item.film, alt: "" });
  if (!item.video) return box.append(frames);
  const [start, end] = (item.video.split("#t=")[1] ?? "").split(",").map(Number);
  const video = make("video", { className: "moving", src: item.video, muted: true, loop: !end, playsInline: true, autoplay: true });
  video.setAttribute("aria-label", `video ${item.id}`);
  for (const kind of ["timeupdate", "ended"]) video.addEventListener(kind, () => {  // browsers show a part but once
    if (!video.isConnected || !(video.ended || video.currentTime >= end)) return;
    video.currentTime = start;
    video.play().catch(() => {});  // it may be taken away meanwhile
  });
  video.addEventListener("error", () => video.replaceWith(frames));
  box.append(video);
}

function player(box, item) {
  const button = make("button", { type: "button", textContent: "Play" });
  let waiting = 0;
  const isPlaying = () => box.classList.contains("playing");
  const set = (how) => {
    clearTimeout(waiting);
    play(box, item, how);
    button.textContent = isPlaying() ? "Stop" : "Play";
    button.setAttribute("aria-label", `${button.textContent} ${item.id}`);
  };
  set(null);
  for (const part of [button, box]) part.addEventListener("click", () => set(isPlaying() ? null : "playing"));
  box.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse" && !isPlaying() && !STILL.matches) waiting = setTimeout(set, 150, "preview");
  });
  box.addEventListener("pointerleave", () => isPlaying() || set(null));
  box.classList.add("plays");
  return button;
}

function card(item, other) {
  const box = look(item), search = make("button", { type: "button", textContent: "Search with" });
  search.setAttribute("aria-label", `Search with ${item.id}`);
  search.addEventListener("click", () => searchBy(item));
  const distance = item.distance === undefined ? null : make("strong", { textContent: `d ${item.distance}` });
  const name = make("p", { className: "name" }, distance, item.id, item.label === null ? null : make("span", { className: "note", textContent: ` ${item.label}` }));
  return make("li", { className: "card" }, box, name, bits(item.code, other), make("div", { className: "act" }, item.film ? player(box, item) : null, search));
}

function showResults(found, item) {
  const box = look(item), name = make("p", { className: "name" }, make("strong", { textContent: "query" }), item.id);
  at("query").replaceChildren(make("div", { className: "card" }, box, name, bits(found.query.code, null), make("div", { className: "act" }, item.film ? player(box, item) : null)));
  at("heading").textContent = "Nearest";
  at("more").hidden = true;
  at("results").replaceChildren(...found.results.map((result) => card(result, found.query.code)));
  tell(`${found.results.length} results for ${item.id}`);
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
    showResults(await ask("/search", { method: "POST", headers: { "content-type": "application/json" }, body }), item);
    at("query").scrollIntoView({ block: "nearest" });
  });
}

function searchFile(file) {
  const most = Number(at("file").dataset.most);
  if (file.size > most) return tell(`${file.name} has more than ${most.toLocaleString("en")} bytes`, true);
  search(async () => {
    const headers = { "content-type": "application/octet-stream" };
    const found = await ask(`/search?${new URLSearchParams({ film: 1, ...asked() })}`, { method: "POST", headers, body: file });
    showResults(found, { id: file.name, film: found.query.film, video: null });
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
  at("label").parentElement.hidden = !found.labels.length;
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
addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const box of document.querySelectorAll(".preview")) play(box, null, null);
});
begin().catch((error) => tell(error.message, true));
