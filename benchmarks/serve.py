"""A load test of `search.py serve`, beside faiss behind the same framework: many clients at once, on this machine.

    python -m benchmarks.serve [--items 100000] [--bits 64] [--queries 10000] [--clients 32] [--turns 5]

The index is flat, of random codes; a query is a code as JSON and asks for ten items. Two servers answer, of the same
program, one with its own index and one with an IndexBinaryFlat of faiss in its place; they take turns at parts of the
queries. Clients are threads of another process than the servers', each with one connection that stays open. Both
indexes are then searched without a server, one query after another.
"""

import argparse
import http.client
import json
import multiprocessing
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain

import faiss
import numpy as np

from inference.code_set import CodeSet, row_ids
from inference.codes import pack
from inference.index import Index
from utils.cli import run_script

HOST = "127.0.0.1"
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in ("items", 100_000), ("bits", 64), ("queries", 10_000), ("clients", 32), ("turns", 5):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help="(default: %(default)s)")
    asked = parser.parse_args()
    signs = random_signs(asked.queries, asked.bits, seed=1)
    turns = defaultdict(list)
    with ExitStack() as servers:
        ports = {engine: servers.enter_context(serving(engine, asked.items, asked.bits)) for engine in ENGINES}
        for part in np.array_split(signs, asked.turns):
            for engine, port in ports.items():
                turns[engine].append(ask(port, part, asked.clients))
    print(f"{asked.queries:,} queries by {asked.clients} clients in {asked.items:,} codes of {asked.bits} bits")
    expected = None
    for engine in ENGINES:
        index, bits = index_of(asked.items, asked.bits, engine), pack(signs)
        started = time.perf_counter()
        alone = [index.search(bits[row:row + 1], K)[1][0].tolist() for row in range(len(bits))]
        seconds = time.perf_counter() - started
        expected = expected or alone
        print(told(engine, turns[engine], expected) + f"; without a server {asked.queries / seconds:,.0f}/s")


@contextmanager
def serving(engine: str, num_items: int, num_bits: int) -> Iterator[int]:
    """The port of a server of another process, which ends with the block."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("spawn").Process(target=answer, args=(engine, num_items, num_bits, port),
                                                          daemon=True)
    server.start()
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.join()


def told(engine: str, turns: list, expected: list[list[int]]) -> str:
    """What the turns of an engine, each of `ask`, say beside the distances that are `expected`."""
    seconds, delays, answers = zip(*turns, strict=True)
    p50, p99 = np.quantile(np.concatenate(delays), (0.5, 0.99)) * 1000
    lost = sum(found != wanted for found, wanted in zip(chain(*answers), expected, strict=True))
    return (f"{engine}: {len(expected) / sum(seconds):,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {lost} lost or "
            "other than exact")


class FaissIndex(Index):
    """The same items, searched by faiss."""

    def __init__(self, codes: CodeSet) -> None:
        super().__init__(codes)
        self._searched = faiss.IndexBinaryFlat(codes.num_bits)
        self._searched.add(codes.bits)

    def search(self, bits, k, within=None):
        distances, items = self._searched.search(bits, k)
        return self.codes.ids[items], distances


ENGINES = {"search.py serve": Index, "faiss": FaissIndex}


def random_signs(count: int, num_bits: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, num_bits), dtype=np.int8) * np.int8(2) - np.int8(1)


def index_of(num_items: int, num_bits: int, engine: str = "search.py serve") -> Index:
    return ENGINES[engine](CodeSet(pack(random_signs(num_items, num_bits, seed=0)), row_ids(num_items), num_bits))


def answer(engine: str, num_items: int, num_bits: int, port: int) -> None:
    """Serves such an index, as search.py does."""
    import uvicorn

    from inference.server.app import make_app
    from inference.server.gallery import Gallery

    app = make_app(Gallery(index_of(num_items, num_bits, engine), {}, None), most_bytes=1, hosts=[HOST])
    uvicorn.run(app, host=HOST, port=port, log_level="warning", server_header=False, limit_concurrency=512)


def wait_for(port: int) -> None:
    """Until a server listens there."""
    for _ in range(600):
        try:
            socket.create_connection((HOST, port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def ask(port: int, signs: np.ndarray, num_clients: int) -> tuple[float, list[float], list[list[int] | None]]:
    """Seconds in all, those of each query, and the distances that each was answered, None where it was lost."""
    answers: list[list[int] | None] = [None] * len(signs)
    delays = [float("nan")] * len(signs)
    bodies = [json.dumps({"code": "".join("1" if sign > 0 else "0" for sign in row), "k": K}) for row in signs]

    def client(first: int) -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        for number in range(first, len(bodies), num_clients):
            started = time.perf_counter()
            connection.request("POST", "/search", bodies[number], {"content-type": "application/json"})
            found = connection.getresponse()
            content = found.read()
            delays[number] = time.perf_counter() - started
            if found.status == 200:
                answers[number] = [item["distance"] for item in json.loads(content)["results"]]
        connection.close()

    threads = [threading.Thread(target=client, args=(first,)) for first in range(num_clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, delays, answers


if __name__ == "__main__":
    run_script(main)
