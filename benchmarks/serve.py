"""A load test of `search.py serve`: queries by many clients at once, over HTTP on this machine.

    python -m benchmarks.serve [--items 100000] [--bits 64] [--queries 10000] [--clients 32]

The index is flat, of random codes; a query is a code as JSON and asks for ten items. Clients are threads of another
process than the server's, each with one connection that stays open. The same queries are then searched without the
server, one by one.
"""

import argparse
import http.client
import json
import multiprocessing
import socket
import threading
import time

import numpy as np

from inference.code_set import CodeSet, row_ids
from inference.codes import pack
from inference.index import Index
from utils.cli import run_script

HOST = "127.0.0.1"
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    server = multiprocessing.get_context("spawn").Process(
        target=answer, args=(arguments.items, arguments.bits, port), daemon=True)
    server.start()
    try:
        wait_for(port)
        signs = random_signs(arguments.queries, arguments.bits, seed=1)
        seconds, delays, answers = ask(port, signs, arguments.clients)
    finally:
        server.terminate()
        server.join()
    index = index_of(arguments.items, arguments.bits)
    bits = pack(signs)
    started = time.perf_counter()
    expected = [index.search(bits[row:row + 1], K)[1][0].tolist() for row in range(len(bits))]
    alone = time.perf_counter() - started
    lost = sum(found != wanted for found, wanted in zip(answers, expected, strict=True))
    p50, p99 = np.quantile(delays, (0.5, 0.99)) * 1000
    print(f"{arguments.queries:,} queries by {arguments.clients} clients in {arguments.items:,} codes of "
          f"{arguments.bits} bits: {arguments.queries / seconds:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {lost} "
          f"lost or other than exact; without the server, one by one, {arguments.queries / alone:,.0f}/s")


def random_signs(count: int, num_bits: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, num_bits), dtype=np.int8) * np.int8(2) - np.int8(1)


def index_of(num_items: int, num_bits: int) -> Index:
    return Index(CodeSet(pack(random_signs(num_items, num_bits, seed=0)), row_ids(num_items), num_bits))


def answer(num_items: int, num_bits: int, port: int) -> None:
    """Serves such an index, as search.py does."""
    import uvicorn

    from inference.server.app import make_app
    from inference.server.gallery import Gallery

    app = make_app(Gallery(index_of(num_items, num_bits), {}, None), most_bytes=1, hosts=[HOST])
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
