"""Every source hands out the same batches, reads ahead where it should, and is chosen by what fits."""

import errno
import os
import threading
import weakref

import h5py
import numpy as np
import pytest
import torch

from dataset import feature_file, sources, stream
from dataset.batches import iterate_epoch
from dataset.features import open_features
from dataset.sources import DeviceResident, FileSource, HostResident, open_source
from dataset.stream import StreamSource
from dataset.views import Draws, EpochDraws
from tests.pipeline import make_project, message_of, succeed
from utils import memory

N, T, F = 53, 4, 70
CPU = torch.device("cpu")
DRAWS = Draws(num_uniforms=6, num_frames=T, mask_ratio=0.5)


def values(dtype):
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return rng.integers(0, 256, (N, T, F), dtype=np.uint8)
    return rng.normal(size=(N, T, F)).astype(dtype)


def write(folder, stored, cuts=(), **layout):
    """The features in as many files as there are pieces between `cuts`."""
    paths = []
    for number, piece in enumerate(np.split(stored, list(cuts))):
        paths.append(folder / f"{number}.h5")
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset("feats", data=piece, **layout)
    return open_features(paths, item_shape=(T, F), role="training")


def epoch(source, batch_size=10, number=0):
    return list(iterate_epoch(source, EpochDraws(1, number, N, DRAWS), batch_size))


@pytest.mark.parametrize("cuts", [(), (1, 20)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", ">f4", ">f2", "float64"])
def test_every_source_gives_the_same_batches(tmp_path, dtype, cuts):
    stored = values(dtype)
    features = write(tmp_path, stored, cuts)
    expected = torch.from_numpy(stored / np.float32(255) if dtype == "uint8" else stored.astype(np.float32))
    type_given = torch.float16 if dtype == "float16" else torch.float32
    for source in (HostResident(features), DeviceResident(features, CPU), FileSource(features)):
        assert source.shape == (N, T, F)
        for number in (0, 1):
            draws = EpochDraws(1, number, N, DRAWS)
            batches = epoch(source, number=number)
            assert torch.equal(torch.cat([batch.index for batch in batches]), draws.order)
            for batch in batches:
                assert batch.items.dtype == type_given
                assert batch.to(CPU).items.dtype == torch.float32
                assert torch.equal(batch.to(CPU).items, expected[batch.index])
                assert torch.equal(batch.masks, draws.masks(batch.index))
                assert torch.equal(batch.uniforms, draws.uniforms(batch.index))


def test_compressed_files_serve_the_same_batches(tmp_path):
    stored = values("float32")
    source = FileSource(write(tmp_path, stored, chunks=(3, 2, 7), compression="gzip"))
    for batch in epoch(source, 17):
        np.testing.assert_array_equal(batch.items.numpy(), stored[batch.index])


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 53])
def test_batches_of_any_size_divide_over_the_readers(tmp_path, count):
    stored = values("float16")
    index = np.random.default_rng(count).integers(0, N, count)
    got = FileSource(write(tmp_path, stored, (30,))).batch(torch.from_numpy(index))
    assert got.shape == (count, T, F)
    np.testing.assert_array_equal(got.numpy(), stored[index].astype(np.float32))


def test_a_batch_keeps_its_memory_while_anything_refers_to_it(tmp_path):
    """And gives it to a later one as soon as nothing does."""
    stored = values("float32")
    features = write(tmp_path, stored)
    index = torch.arange(N)
    for source in (HostResident(features), FileSource(features), StreamSource(features)):
        part, array = source.batch(index[:20])[3:5, 1], source.batch(index[20:30]).numpy()[1]
        for _ in range(3):
            source.batch(index.flip(0)[:20])
        np.testing.assert_array_equal(part.numpy(), stored[3:5, 1])
        np.testing.assert_array_equal(array, stored[21])
        first = source.batch(index[:20])
        where = first.data_ptr()
        assert source.batch(index[:20]).data_ptr() != where
        del first
        assert where in {source.batch(index[:20]).data_ptr(), source.batch(index[:9]).data_ptr()}


def test_scattered_rows_are_the_same_whether_cached_or_not(tmp_path, monkeypatch):
    stored = values("float32")
    index = [50, 3, 20, 41, 3]
    features = write(tmp_path, stored)
    refused = []

    def refuse(file, out, offset):
        refused.append(offset)
        return False

    for read_cached in (feature_file.read_cached, refuse):
        monkeypatch.setattr(feature_file, "read_cached", read_cached)
        np.testing.assert_array_equal(features.rows(index), stored[index])
    assert len(refused) == 5


def test_a_file_system_that_cannot_tell_what_is_cached_is_read_all_the_same(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "preadv", unsupported)
    stored = values("float16")
    index = [50, 3, 20]
    np.testing.assert_array_equal(write(tmp_path, stored).rows(index), stored[index].astype(np.float32))


def test_a_video_that_is_written_to_between_two_reads_is_refused(tmp_path):
    stored = values("float16")
    features = write(tmp_path, stored)
    source = FileSource(features)
    epoch(source)
    stored[31, 2, 3] = np.nan
    with h5py.File(features.paths[0], "r+") as file:
        file["feats"][31] = stored[31]
    assert "rewritten while in use" in message_of(lambda: epoch(source))


def test_every_float16_widens_to_its_value(tmp_path):
    """All 63,488 finite patterns, subnormals included, by numpy's own conversion."""
    patterns = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = patterns[np.isfinite(patterns)]
    stored = np.resize(finite, (2, 25, 4096))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = stored
    features = open_features(tmp_path / "a.h5", item_shape=(25, 4096), role="training")
    np.testing.assert_array_equal(features.load().view(np.uint32), stored.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_video_is_refused_when_its_batch_is_read(tmp_path, bad):
    stored = values("float16")
    stored[31, 2, 3] = bad
    features = write(tmp_path, stored, (20,))
    text = message_of(lambda: epoch(FileSource(features)))
    assert text.startswith(f"{features.paths[1]}: row 11 of 'feats'")
    assert "row 11" in message_of(lambda: HostResident(features))


class Watched:
    """A source that counts which of its batches are still alive when the next is read, and in which thread."""

    def __init__(self, reads_ahead):
        self.reads_ahead, self.given, self.alive, self.threads = reads_ahead, [], [], set()

    def __len__(self):
        return N

    def batch(self, index):
        self.threads.add(threading.current_thread())
        self.alive.append(sum(given() is not None for given in self.given))
        videos = index[:, None, None].expand(-1, T, F).float()
        self.given.append(weakref.ref(videos))
        return videos


def test_the_next_batch_is_read_while_one_is_in_use():
    source = Watched(reads_ahead=True)
    batches = iterate_epoch(source, EpochDraws(1, 0, N, DRAWS), 10)
    first = next(batches)
    deadline = threading.Event()
    while len(source.given) < 2 and not deadline.wait(0.001):
        pass
    assert torch.equal(first.items[:, 0, 0].long(), first.index)
    del first
    for batch in batches:
        assert torch.equal(batch.items[:, 0, 0].long(), batch.index)
    assert len(source.given) == 6
    assert max(source.alive) <= 3
    assert threading.main_thread() not in source.threads
    resident = Watched(reads_ahead=False)
    epoch(resident)
    assert resident.threads == {threading.main_thread()}


def test_an_epoch_left_early_leaves_no_reader(tmp_path):
    source = FileSource(write(tmp_path, values("float32")))
    batches = iterate_epoch(source, EpochDraws(1, 0, N, DRAWS), 10)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read ahead")]


def test_the_choice_follows_the_memory(tmp_path, monkeypatch):
    features, size = write(tmp_path, values("float16")), 2 * N * T * F
    monkeypatch.setattr(sources, "DeviceResident", lambda features, device: "on the device")

    def choose(free, free_on_gpu=None):
        monkeypatch.setattr(sources, "available_memory", lambda: free)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_on_gpu, 0))
        return open_source(features, CPU if free_on_gpu is None else torch.device("cuda", 0))[0]

    assert isinstance(choose(2 * size), HostResident)
    assert isinstance(choose(None), HostResident)
    assert isinstance(choose(2 * size - 1), FileSource)
    assert choose(0, 2 * size) == "on the device"
    assert isinstance(choose(2 * size, 2 * size - 1), HostResident)
    assert isinstance(choose(2 * size - 1, 2 * size - 1), FileSource)


@pytest.mark.parametrize(("kind", "source", "place"), [("host", HostResident, "main memory"),
                                                       ("device", DeviceResident, "the memory of cpu"),
                                                       ("file", FileSource, "files")])
def test_a_named_source_is_taken_and_told(tmp_path, kind, source, place):
    opened, line = open_source(write(tmp_path, values("float16")), CPU, kind)
    assert isinstance(opened, source)
    assert place in line
    assert f"batch_source = {kind}" in line
    assert "repack" not in line


def test_slow_files_come_with_advice(tmp_path):
    assert "python -m dataset.repack" in open_source(write(tmp_path, values("float16"), chunks=True), CPU, "file")[1]


def test_memory_is_what_the_container_and_the_machine_leave(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    assert memory.available_memory() == 5000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() == 5000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 1000000\nfile 1900000\n")
    assert memory.available_memory() == 2_000_000


def test_training_does_not_depend_on_the_source(tmp_path):
    project = make_project(tmp_path)
    succeed("preprocess.py", "--config", project.config)
    weights = []
    for kind in ("host", "file", "stream"):
        result = succeed("train.py", "--config", project.config, "--restart", "--batch-source", kind)
        assert f"batch_source = {kind}" in result.output
        weights.append(torch.load(project.checkpoint, weights_only=True)["model_state_dict"])
    assert all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in other)


CHUNKED = {"chunks": (3, 2, 7), "compression": "gzip"}
VIDEO = 4 * T * F


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(stream, "LEAST_BLOCK", 1)


@pytest.mark.parametrize("cuts", [(), (7, 20)])
@pytest.mark.parametrize("layout", [CHUNKED, {}])
@pytest.mark.usefixtures("small_blocks")
def test_a_stream_whose_buffer_holds_all_gives_the_batches_of_every_source(tmp_path, cuts, layout):
    features = write(tmp_path, values("float32"), cuts, **layout)
    source = StreamSource(features, N * VIDEO)
    assert source.shuffles_all
    for number in (0, 1):
        wanted = epoch(HostResident(features), number=number)
        for got, other in zip(epoch(source, number=number), wanted, strict=True):
            for name in ("index", "items", "masks", "uniforms"):
                assert torch.equal(getattr(got, name), getattr(other, name))


@pytest.mark.parametrize("cuts", [(), (7, 20)])
@pytest.mark.parametrize("buffered", [1, 2, 12, 25, 52])
@pytest.mark.usefixtures("small_blocks")
def test_a_stream_gives_every_video_once_in_an_order_of_its_own(tmp_path, cuts, buffered):
    stored = values("float16")
    features = write(tmp_path, stored, cuts, **CHUNKED)
    orders = []
    for number in (0, 1, 0):
        batches = epoch(StreamSource(features, buffered * VIDEO), number=number)
        order = torch.cat([batch.index for batch in batches])
        assert torch.equal(order.sort().values, torch.arange(N))
        draws = EpochDraws(1, number, N, DRAWS)
        for batch in batches:
            np.testing.assert_array_equal(batch.items.numpy(), stored[batch.index].astype(np.float32))
            assert torch.equal(batch.masks, draws.masks(batch.index))
        orders.append(order)
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.usefixtures("small_blocks")
def test_a_stream_reads_every_chunk_once_and_holds_no_more_than_its_buffer(tmp_path, monkeypatch):
    features = write(tmp_path, values("float32"), (20,), **CHUNKED)
    source, groups, reads = StreamSource(features, 24 * VIDEO), [], []
    read, scatter = source._read, features.scatter

    def watched(group):
        rows, videos = read(group)
        groups.append(weakref.ref(videos))
        assert sum(len(alive) for other in groups if (alive := other()) is not None) <= 24
        return rows, videos

    monkeypatch.setattr(source, "_read", watched)
    monkeypatch.setattr(features, "scatter", lambda rows, *rest: (reads.append(tuple(rows)), scatter(rows, *rest)))
    epoch(source)
    assert len(groups) >= 5
    assert sorted(row for rows in reads for row in rows) == list(range(N))
    assert all((rows[0] if rows[0] < 20 else rows[0] - 20) % 3 == 0 for rows in reads)


@pytest.mark.usefixtures("small_blocks")
def test_a_group_of_a_stream_mixes_distant_blocks(tmp_path):
    source = StreamSource(write(tmp_path, values("float32"), **CHUNKED), 36 * VIDEO)
    first = source.order(EpochDraws(1, 0, N, DRAWS))[:18]
    assert first.max() - first.min() > 18
    assert (first.diff() != 1).any()


def test_auto_streams_what_only_hdf5_can_read(tmp_path, monkeypatch):
    features = write(tmp_path, values("float16"), **CHUNKED)
    monkeypatch.setattr(sources, "available_memory", lambda: 0)
    source, line = open_source(features, CPU)
    assert isinstance(source, StreamSource)
    assert "repack" not in line
    monkeypatch.setattr(sources, "StreamSource", lambda features: StreamSource(features, 10 * VIDEO))
    assert "python -m dataset.repack" in open_source(features, CPU, "stream")[1]
