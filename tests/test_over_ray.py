"""Work shared out to a Ray cluster: what comes out is what one process makes, also where a machine dies."""

import importlib.util
import os
import sys
import time

import numpy as np
import pytest

from inference.code_file import read_codes
from tests.clips import frames_of, write_clip
from tests.pipeline import make_project, message_of, run, succeed
from utils.errors import UserError
from utils.over_ray import over_ray

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning",
                                        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def cluster():
    """A head that does no work, and two machines of a CPU each."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    ray.shutdown()
    found.shutdown()


def slowly(seconds):
    import ray

    def work(share):
        time.sleep(seconds)
        return share * share, ray.get_runtime_context().get_node_id()
    return work


def dying(folder):
    """A share dies as often as its name says."""
    def work(share):
        name = folder / str(share)
        died = int(name.read_text()) if name.exists() else 0
        name.write_text(str(died + 1))
        if died < share:
            os._exit(1)
        return died
    return work


def refusing(given):
    if given == "at once":
        raise UserError("no such model.")

    def work(share):
        raise UserError(f"no such features: {share}.")
    return work


def test_without_ray_or_a_cluster_a_line_says_what_to_do(monkeypatch):
    if importlib.util.find_spec("ray"):
        assert "ray start --head" in message_of(lambda: list(over_ray("auto", slowly, 0, [1])))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "requirements-ray.txt" in message_of(lambda: list(over_ray("auto", slowly, 0, [1])))


def test_a_machine_that_dies_costs_its_shares_only(cluster):
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    nodes, done = set(), {}
    for share, (result, node) in over_ray(cluster.address, slowly, 0.2, range(20)):
        assert share not in done
        done[share] = result
        nodes.add(node)
        if len(done) == 6:
            cluster.remove_node(doomed, allow_graceful=False)
    assert done == {share: share * share for share in range(20)}
    assert len(nodes) == 3


def test_a_share_is_tried_again_but_not_for_ever(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.over_ray.RETRIES", 1)
    assert dict(over_ray(cluster.address, dying, tmp_path, (0, 1))) == {0: 0, 1: 1}
    assert "died 2 times" in message_of(lambda: list(over_ray(cluster.address, dying, tmp_path, (9,))))


@pytest.mark.parametrize(("given", "line"), [("at once", "no such model."), ("later", "no such features: 7.")])
def test_a_mistake_is_told_in_its_line(cluster, given, line):
    assert message_of(lambda: list(over_ray(cluster.address, refusing, given, [7]))) == line


def test_features_and_codes_are_those_of_one_process(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("vh.encoding.VIDEOS_PER_SHARE", 8)
    monkeypatch.setattr("dataset.extraction.pipeline.VIDEOS_PER_SHARE", 1)
    monkeypatch.chdir(tmp_path)  # paths are relative to it
    project = make_project(tmp_path)
    config = "--config", project.config, "--gpu", "cpu"
    for script in ("preprocess.py", "train.py"):
        succeed(script, *config)
    words = "search.py", "encode", *config, "--features", "data/database.h5", "--batch", 8
    succeed(*words, "--out", tmp_path / "whole.h5")
    succeed(*words, "--out", tmp_path / "many.h5", "--ray", cluster.address)
    many, whole = read_codes(tmp_path / "many.h5"), read_codes(tmp_path / "whole.h5")
    np.testing.assert_array_equal(many.bits, whole.bits)
    assert many.ids.tolist() == whole.ids.tolist()
    assert (many.fingerprint, many.made_from) == (whole.fingerprint, whole.made_from)
    assert "not allowed with" in run(*words, "--out", tmp_path / "x.h5", "--ray", "auto", "--shard", "1/2").errors
    for number in range(3):
        write_clip(tmp_path / f"clips/{number}.mp4", frames_of(8, number))
    common = "extract.py", "--videos", "clips", "--model", "hog", "--frames", 2, "--gpu", "cpu"
    for name, more in (("one.h5", ()), ("by_ray.h5", ("--ray", cluster.address))):
        succeed(*common, "--out", tmp_path / name, *more)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "by_ray.h5").read_bytes()
