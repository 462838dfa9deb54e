"""The page of search.py serve and its interface: what it answers, and what hostile requests get."""

import asyncio
import base64
import json
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.testclient import TestClient

from benchmarks import serve as load
from dataset.extraction.decoders import Decoder
from dataset.extraction.recipe import Recipe
from dataset.extraction.store import videos_in
from inference.code_set import CodeSet
from inference.codes import pack
from inference.index import Index
from inference.segments.index import MappedIndex
from inference.server import app as server
from inference.server.gallery import Gallery
from tests.clips import frames_of, write_clip
from tests.pipeline import run
from tests.test_report_page import FLAGS

BITS = 12
EVIL = "run/<script>alert(1)</script>.mp4"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(("run/a.mp4", "walk/b.mp4", "walk/c.mp4")):
        write_clip(folder / name, frames_of(20, number))
    (folder / "walk/bad.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def site(clips):
    """A client of a server of six items, of which the code of number n has its first n bits set."""
    ids = ["run/a.mp4", "walk/b.mp4", "walk/c.mp4#t=0.5,1.5", "walk/bad.mp4", EVIL, "run/../../etc/passwd"]
    signs = np.where(np.arange(BITS) < np.arange(6)[:, None], 1, -1).astype(np.int8)
    codes = CodeSet(pack(signs), np.array(ids, object), BITS)
    decoder = Decoder(5.0)

    def encode(clip):
        note, failed = decoder.read(clip, Recipe("hog", "", 64, False, 2), described=True, use=lambda *_: None)
        return (None, note) if failed else (CodeSet(codes.bits[:1], codes.ids[:1], BITS), "")

    gallery = Gallery(Index(codes), videos_in([clips]), encode)
    made = server.make_app(gallery, most_bytes=200_000, hosts=["testserver"])
    with TestClient(made, raise_server_exceptions=False) as client:
        yield SimpleNamespace(client=client, ids=ids, signs=signs, gallery=gallery)
    decoder.close()
    while True:
        try:
            gallery._decoders.get_nowait().close()
        except queue.Empty:
            break


def search(site, **asked):
    return site.client.post("/search", json=asked)


def text_of(signs):
    return "".join("1" if sign > 0 else "0" for sign in signs)


def test_search_by_item_and_by_code(site):
    found = search(site, id="run/a.mp4", k=3).json()
    assert found["query"]["code"] == "0" * BITS
    assert [(item["rank"], item["distance"], item["id"]) for item in found["results"]] == [
        (rank, rank, site.ids[rank]) for rank in (1, 2, 3)]  # the query itself is left out
    found = search(site, code=text_of(site.signs[3]), k=1).json()["results"]
    assert [(item["distance"], item["id"], item["code"]) for item in found] == [(0, site.ids[3], "111000000000")]
    found = search(site, id="run/a.mp4", label="walk").json()["results"]
    assert [item["id"] for item in found] == site.ids[1:4]
    assert {item["label"] for item in found} == {"walk"}


def test_items_and_their_films(site):
    found = site.client.get("/items", params={"start": 1}).json()
    assert [item["id"] for item in found["items"]] == site.ids[1:]
    assert (found["total"], found["labels"], found["bits"]) == (6, ["run", "walk"], BITS)
    assert site.client.get("/items", params={"label": "run"}).json()["total"] == 3
    item = site.client.get("/items/walk/c.mp4%23t=0.5,1.5").json()
    assert item["video"].endswith("#t=0.5,1.5")
    film = site.client.get(item["film"])
    assert film.headers["content-type"] == "image/png"
    assert film.content.startswith(b"\x89PNG")
    video = site.client.get("/video", params={"id": "run/a.mp4"}, headers={"range": "bytes=0-9"})
    assert (video.status_code, len(video.content)) == (206, 10)
    assert site.client.get("/film", params={"id": "walk/bad.mp4"}).status_code == 404


def test_a_clip_is_a_query(site, clips):
    content = (clips / "run/a.mp4").read_bytes()
    found = site.client.post("/search?k=2", content=content, headers={"content-type": "video/mp4"}).json()
    assert [item["distance"] for item in found["results"]] == [0, 1]
    assert found["query"]["film"] is None
    found = site.client.post("/search?label=walk&film=1", content=content).json()
    assert [item["id"] for item in found["results"]] == site.ids[1:4]
    film = site.client.get("/film", params={"id": "run/a.mp4"}).content
    assert found["query"]["film"] == "data:image/png;base64," + base64.b64encode(film).decode()
    for asked, told in (("label=none", "no such label"), ("film=2", "film is a whole number from 0 to 1")):
        assert told in site.client.post(f"/search?{asked}", content=b"not looked at").json()["error"]


def test_every_answer_tells_the_browser_to_load_nothing_from_elsewhere(site):
    for path in "/", "/serve.js", "/items", "/items/none", "/docs", "/video?id=run/a.mp4", "/none":
        headers = site.client.get(path).headers
        told = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert told == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'",
                        "frame-ancestors": "'none'", "script-src": "'self'", "style-src": "'self'",
                        "media-src": "'self'", "connect-src": "'self'", "img-src": "'self' data:"}, path
        assert headers["x-content-type-options"] == "nosniff"
    page = site.client.get("/").text
    assert "://" not in page
    assert "style=" not in page
    assert "innerHTML" not in site.client.get("/serve.js").text
    assert site.client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_ids_stay_text(site):
    """JSON holds them as they are; where they become part of an address they are quoted."""
    item = site.client.get("/items", params={"label": "run"}).json()["items"][1]
    assert item["id"] == EVIL
    assert item["film"] is None
    assert site.client.get("/items").headers["content-type"] == "application/json"
    assert "<script>alert" not in site.client.get(f"/items/{EVIL}x").text


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "run/../../etc/passwd", "..%2f..%2fetc/passwd",
                                  "run/a.mp4/../../bad", "run/a.mp4\0", "", "a" * 5000, "walk"])
def test_no_path_leaves_the_folder(site, name):
    for path in "/video", "/film":
        found = site.client.get(path, params={"id": name})
        assert found.status_code == 404
        assert "root:" not in found.text
    assert site.client.get("/video").status_code == 404


@pytest.mark.parametrize(("body", "told"), [
    (b"", "JSON object"), (b"[]", "JSON object"), (b"{", "JSON object"), (b"[" * 60_000, "JSON object"),
    (b"{}", "give an id or a code"), (b'{"id": "run/a.mp4", "code": "0"}', "give an id or a code"),
    (b'{"id": {"a": 1}}', "no such item"), (b'{"id": ["run/a.mp4"]}', "no such item"), (b'{"code": "01"}', "12 signs"),
    (b'{"code": "' + b"\xc3\xa9" * 12 + b'"}', "12 signs"),
    (b'{"code": 5}', "12 signs"), (b'{"id": "run/a.mp4", "k": 0}', "from 1 to 100"), (b"\xff\xfe", "JSON object"),
    (b'{"id": "run/a.mp4", "k": 1e9}', "from 1 to 100"), (b'{"id": "run/a.mp4", "k": true}', "from 1 to 100"),
    (b'{"id": "run/a.mp4", "k": "\xd9\xa3"}', "from 1 to 100"), (b'{"id": "run/a.mp4", "label": "x"}', "no such label"),
    (b'{"id": "run/a.mp4", "label": ["walk"]}', "no such label"), (b'{"code": "' + b"0" * 70_000 + b'"}', "bytes")])
def test_requests_that_mean_nothing(site, body, told):
    found = site.client.post("/search", content=body, headers={"content-type": "application/json"})
    assert 400 <= found.status_code < 500
    assert told in found.json()["error"]
    assert "Traceback" not in found.text


def test_clips_that_are_none(site, clips):
    """Truncated, with bytes turned over, of other kinds, too large: a line each, no path, and the next one is read."""
    good, rng = (clips / "run/a.mp4").read_bytes(), np.random.default_rng(0)
    bodies = [b"", b"\0" * 1000, rng.bytes(3000), b"#EXTM3U\nfile:///etc/passwd\n", b"<svg/>", good[:900]]
    for share in range(20):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), 1 + 3 * share):
            damaged[place] ^= 1 << int(rng.integers(8))
        bodies.append(bytes(damaged))
    statuses = []
    for body in bodies:
        found = site.client.post("/search", content=body, headers={"content-type": "video/mp4"})
        statuses.append(found.status_code)
        assert found.status_code in (200, 422)
        assert "/tmp" not in found.text
        assert "Traceback" not in found.text
    assert statuses[:6] == [422] * 6
    too_long = site.client.post("/search", content=b"0" * 200_001, headers={"content-type": "video/mp4"})
    assert too_long.status_code == 413
    assert site.client.post("/search", content=good, headers={"content-type": "video/mp4"}).status_code == 200


def test_uploads_are_bounded_in_number_and_time(site, monkeypatch):
    monkeypatch.setattr(server, "UPLOADS_WAITING", -server.UPLOADS_AT_ONCE)
    found = site.client.post("/search", content=b"x", headers={"content-type": "video/mp4"})
    assert (found.status_code, found.headers["retry-after"]) == (503, "5")
    monkeypatch.undo()

    async def slow():
        await asyncio.sleep(60)
        yield b"x"

    monkeypatch.setattr(server, "MOST_SECONDS", 0.01)
    with pytest.raises(HTTPException, match="408"):
        asyncio.run(server._body(SimpleNamespace(stream=slow), 10))
    monkeypatch.setattr(site.gallery, "encode", None)
    assert site.client.post("/search", content=b"x", headers={"content-type": "video/mp4"}).status_code == 501


def test_a_mapped_index_has_the_same_page(site, clips, tmp_path):
    """In two segments, with an item removed from each, beside a flat index of what is left; but for its labels."""
    codes = site.gallery.index.codes
    with MappedIndex.writing(tmp_path / "mapped", print, codes) as mapped:
        for part in (codes.only(site.ids[:3]), codes.only(site.ids[3:])):
            mapped.add([part])
        mapped.remove([site.ids[1], site.ids[3]])
    left = [site.ids[0], site.ids[2], *site.ids[4:]]
    asked = MappedIndex.load(tmp_path / "mapped"), Index(codes.only(left))
    found, flat = (Gallery(index, videos_in([clips]), None) for index in asked)
    assert found.labels == []
    for start, count in (0, 9), (0, 2), (1, 2), (3, 9), (4, 1):
        assert found.names(None, start, count) == (left[start:start + count], 4) == flat.names(None, start, count)
    for name in left:
        assert name in found
        assert found.item(name) | {"label": flat.label(name)} == flat.item(name)
    assert not any(name in found for name in (site.ids[1], "", "0", "\udcff", None, 3))
    results = [gallery.nearest(codes.bits[:1], 2, without=left[0]) for gallery in (found, flat)]
    assert [[(item["id"], item["distance"]) for item in of] for of in results] == [[(left[1], 2), (left[2], 4)]] * 2


@contextmanager
def served(app):
    """The port of a real server, which ends with the block."""
    config = uvicorn.Config(app, port=0, log_level="error")
    with socket.socket() as listening:
        listening.bind((load.HOST, 0))
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        load.wait_for(listening.getsockname()[1])
        try:
            yield listening.getsockname()[1]
        finally:
            running.should_exit = True
            thread.join()


@pytest.mark.parametrize("engine", load.ENGINES)
def test_many_clients_over_http(engine):
    """The load test, small: every answer is that of the index, and what is other is counted."""
    gallery, signs = Gallery(load.index_of(200, 16, engine), {}, None), load.random_signs(40, 16, seed=1)
    with served(server.make_app(gallery, most_bytes=1, hosts=[load.HOST])) as port:
        turns = [load.ask(port, part, 4) for part in (signs[:30], signs[30:])]
    expected = load.index_of(200, 16).search(pack(signs), load.K)[1].tolist()
    assert turns[0][2] + turns[1][2] == expected
    assert "0 lost" in load.told(engine, turns, expected)
    turns[1][2][3] = None
    assert "1 lost" in load.told(engine, turns, expected)


# What a user does on the page, in its browser; `said`, left in its title, tells what was to be seen then. The page
# itself is left as it was before.
DRIVER = """
const said = [], pause = () => new Promise((go) => setTimeout(go, 20));
const until = async (found) => { while (!found()) await pause(); return found(); };
const one = (path) => document.querySelector(path), moving = (box) => box.querySelector(".moving")?.tagName ?? "still";
addEventListener("load", async () => {
  await until(() => one("#results strong"));
  const before = document.body.cloneNode(true);
  const box = one("#results .look.plays"), button = box.parentNode.querySelector("button");
  const point = (kind) => box.dispatchEvent(new PointerEvent(kind, { pointerType: "mouse" }));
  point("pointerenter");
  await until(() => one(".preview"));
  said.push(`pointed at: ${moving(box)} ${button.textContent}`);
  dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  said.push(`escape: ${moving(box)}`);
  button.click();
  point("pointerleave");
  said.push(`played: ${moving(box)} ${button.textContent} ${box.className}`);
  box.querySelector("video").dispatchEvent(new Event("error"));
  const { animationName, width, height } = getComputedStyle(one(".moving"));
  said.push(`no video: ${moving(box)} ${animationName} ${width === height} ${parseInt(width) < box.clientWidth}`);
  box.click();
  said.push(`tapped: ${moving(box)} ${button.getAttribute("aria-label")}`);
  const part = document.querySelectorAll("#results .look.plays")[1];
  part.click();
  const video = part.querySelector("video");
  for (const now of [1.4, 1.6]) {
    Object.defineProperty(video, "currentTime", { value: now, writable: true, configurable: true });
    video.dispatchEvent(new Event("timeupdate"));
    said.push(`part: ${now} ${video.currentTime} ${video.loop}`);
  }
  one("#label").value = "walk";
  one("#label").dispatchEvent(new Event("change"));
  await until(() => one("#status").textContent.startsWith("3 results"));
  said.push(`walk: ${document.querySelectorAll("#results li").length}`);
  const clip = await (await fetch("/video?id=run%2Fa.mp4")).blob(), files = new DataTransfer();
  files.items.add(new File([clip], "mine.mp4"));
  one("#file").files = files.files;
  one("#file").dispatchEvent(new Event("change"));
  const film = await until(() => one("#query img[alt='frames of mine.mp4']"));
  await film.decode();
  one("#query button").click();
  said.push(`uploaded: ${film.naturalWidth} ${moving(one("#query .look"))}`);
  one("title").textContent = said.join("; ");
  document.body.replaceWith(before);
});
"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_the_page_in_a_browser(site, tmp_path):
    """A search by the item that the address names: its results in order, the markup in ids shown as text; videos move
    where the pointer rests and where they are played; results of one label; a clip of one's own, with its film."""
    app = server.make_app(site.gallery, most_bytes=200_000, hosts=[load.HOST])
    page = site.client.get("/").text.replace("</head>", '<script src="/driver.js"></script></head>')
    app.routes[:0] = [Route("/driven", server._constant(page, "text/html")),
                      Route("/driver.js", server._constant(DRIVER, "text/javascript"))]
    with served(app) as port:
        shown = subprocess.run(["chromium", *FLAGS, f"--user-data-dir={tmp_path}/profile",
                                f"http://{load.HOST}:{port}/driven#run%2Fa.mp4"], capture_output=True, text=True,
                               timeout=120)
    page = shown.stdout
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    assert all("404" in line for line in said)  # of the clip that cannot be shown
    assert "5 results for run/a.mp4" in page
    assert "6 items, 12 bits" in page
    assert re.findall(r"<strong>d (\d+)</strong>", page) == ["1", "2", "3", "4", "5"]
    assert "run/&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in page
    assert "<script>alert" not in page
    assert page.count('aria-label="1 of 12 bits differ"') == 1
    assert re.search("<title>(.*)</title>", page)[1].split("; ") == [
        "pointed at: VIDEO Play", "escape: still", "played: VIDEO Stop look plays playing",
        "no video: IMG frames true true", "tapped: still Play walk/b.mp4", "part: 1.4 1.4 false",
        "part: 1.6 0.5 false", "walk: 3", "uploaded: 576 IMG"]


def test_a_fault_tells_nothing(site, monkeypatch):
    monkeypatch.setattr(site.gallery, "nearest", lambda *_: 1 / 0)
    found = search(site, id="run/a.mp4")
    assert (found.status_code, found.json()) == (500, {"error": "a fault of the server"})


def test_the_interface_is_described(site):
    about = site.client.get("/openapi.json").json()
    assert about["openapi"].startswith("3.1")
    assert about["paths"].keys() == {"/search", "/items", "/items/{id}"}
    text = json.dumps(about)
    for name in ("Item", "Result"):
        assert f"#/components/schemas/{name}" in text
        assert name in about["components"]["schemas"]
    assert "POST /search" in site.client.get("/docs").text
    told = about["components"]["schemas"]["Item"]["properties"].keys()
    assert told == site.client.get("/items/run/a.mp4").json().keys()


def test_serve_says_what_is_missing(tmp_path, monkeypatch):
    assert "none.index" in run("search.py", "serve", "--index", tmp_path / "none.index").errors
    for words in ("serve",), ("query", "--codes", "none.h5"):
        done = run("search.py", *words, "--index", "postgresql://me:secret@host/base")
        assert (done.code, "secret" in done.errors, done.errors.count("\n")) == (2, False, 1)
        assert "a database server" in done.errors
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("search.py", "serve", "--index", tmp_path / "none.index")
    assert done.code == 2
    assert "requirements-videos.txt" in done.errors
