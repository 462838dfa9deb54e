"""Artefacts: written whole, refused when stale or damaged, taken when downloaded; what preprocess does."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from artefacts.anchor_graph import NEAREST_ANCHORS
from artefacts.cache import load, provide
from artefacts.centers.artefact import HASH_CENTERS
from artefacts.clustering import unit_rows
from artefacts.clusters import PSEUDO_LABELS
from artefacts.store import digest, read_artefact, write_artefact
from utils.errors import UserError

COMMAND = "python preprocess.py --config configs/x.py"
FILES = ("latent_feat_path", "anchor_path", "train_assist_path", "semantic_center_path", "hash_center_path")


class FakeFeatures:
    paths = ("film.h5",)

    def __init__(self, array, name="film"):
        self.array, self.shape, self.name, self.passes = array, array.shape, name, 0

    def __len__(self):
        return len(self.array)

    def matches(self, fingerprint):
        return fingerprint == self.name

    def blocks(self, num_rows, fingerprint=False):
        self.passes += 1
        for start in range(0, len(self.array), num_rows):
            yield start, self.array[start:start + num_rows]

    def fingerprint(self):
        return self.name


@pytest.fixture
def features():
    return FakeFeatures(np.random.default_rng(0).standard_normal((40, 3, 12)).astype(np.float32))


def make_config(folder, **changes):
    settings = {"nbits": 8, "nclusters": 6, "latent_dim_pca": 5, "preprocess_seed": 1, "initWithCSQ": True, "rho": 5e-5,
                "gamma": (1 + 5 ** 0.5) / 2, "num_anchor_neighbours": 5, "hash_center_assign": "solver", "nanchors": 9,
                "center_solver": "admm", "semantics": "means", "supervised": False,
                "artefact_root": "elsewhere/", **changes}
    paths = {name: str(folder / f"{name}.h5") for name in (*FILES, "structure_path")}
    paths["hash_center_path"] = str(folder / f"hash_center_{settings['nbits']}.h5")
    return SimpleNamespace(**settings, **paths)


LABELS_AND_CENTERS = PSEUDO_LABELS, HASH_CENTERS
FILM = FakeFeatures(np.zeros((40, 3, 12), np.float32))


def run(config, features, needed=LABELS_AND_CENTERS, **options):
    """The lines that preprocess says."""
    lines = []
    provide(needed, config, features, command=COMMAND, log=lines.append, **options)
    return lines


def read_one(artefact, config, name="film", **options):
    """What training is given of an artefact, by the name of the features alone."""
    return load([artefact], config, FakeFeatures(FILM.array, name), **options)[artefact.name]


def load_pseudo_labels(config, **options):
    return read_one(PSEUDO_LABELS, config, **options)


def load_hash_centers(config, **options):
    return read_one(HASH_CENTERS, config, **options)


def read(path, key):
    with h5py.File(path) as file:
        return file[key][()]


def read_plain(path, **changes):
    wanted = {"feats": (changes.pop("shape", (2, None)), changes.pop("check", lambda array: None))}
    arguments = {"expected": {"seed": 1}, "command": COMMAND, "log": lambda line: None, **changes}
    return read_artefact(path, wanted, **arguments)["feats"]


def download(path, **arrays):
    """A file as the release writes it: arrays, nothing said of what made them."""
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array


def remade(lines):
    return [name for name in (*FILES[:4], "hash_center") if any(f"{name}" in line and "written" in line
                                                               for line in lines)]


def test_what_is_written_is_read(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    write_artefact(tmp_path / "a.h5", {"feats": array}, {"seed": np.int64(1), "rho": 5e-5}, {"quality": 3})
    np.testing.assert_array_equal(read_plain(tmp_path / "a.h5", expected={"seed": 1, "rho": 5e-5}), array)
    with h5py.File(tmp_path / "a.h5") as file:
        assert json.loads(file.attrs["made_from"]) == {"seed": 1, "rho": 5e-5}
        assert (file.attrs["format_version"], file.attrs["quality"]) == (1, 3)


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.h5"
    write_artefact(path, {"feats": np.zeros((2, 2))}, {"seed": 1})
    with pytest.raises(TypeError):
        write_artefact(path, {"feats": np.ones((2, 2)), "bad": object()}, {"seed": 1})
    assert read_plain(path).sum() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]


def test_missing_names_the_command(tmp_path):
    with pytest.raises(UserError, match=f"a.h5: not there. Make it with `{COMMAND}`"):
        read_plain(tmp_path / "a.h5")


def test_stale_names_settings_and_both_values(tmp_path):
    write_artefact(tmp_path / "a.h5", {"feats": np.zeros((2, 2))}, {"seed": 1, "nclusters": 100})
    with pytest.raises(UserError) as raised:
        read_plain(tmp_path / "a.h5", expected={"seed": 2, "nclusters": 100, "rho": 5e-5})
    message = str(raised.value)
    assert "seed was 1, now 2" in message
    assert "rho was not recorded, now 5e-05" in message
    assert "nclusters" not in message
    assert COMMAND in message
    assert "\n" not in message


def test_another_format_is_stale(tmp_path):
    write_artefact(tmp_path / "a.h5", {"feats": np.zeros((2, 2))}, {"seed": 1})
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(UserError, match="written in format 99, this is format 1"):
        read_plain(tmp_path / "a.h5")


def damage_text(path):
    path.write_text("no HDF5")


def damage_truncated(path):
    write_artefact(path, {"feats": np.random.default_rng(0).random((2, 50_000))}, {"seed": 1})
    path.write_bytes(path.read_bytes()[:20_000])


def damage_folder(path):
    path.mkdir()


def damage_record(path):
    write_artefact(path, {"feats": np.zeros((2, 2))}, {"seed": 1})
    with h5py.File(path, "a") as file:
        file.attrs["made_from"] = "{"


@pytest.mark.parametrize("damage", [damage_text, damage_truncated, damage_folder, damage_record])
def test_damaged_files_are_refused_in_one_line(damage, tmp_path):
    path = tmp_path / "a.h5"
    damage(path)
    with pytest.raises(UserError, match=r"a\.h5: cannot be read as an artefact") as raised:
        read_plain(path)
    assert "\n" not in str(raised.value)


def test_digest_tells_shape_type_and_content():
    array = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    changed = array.copy()
    changed[0, 0] += 1
    variants = [array, array.reshape(6, 4), array.astype(np.float64), changed]
    assert len({digest(variant) for variant in variants}) == 4
    assert digest(array) == digest(np.asfortranarray(array))


@pytest.mark.parametrize("bit", [0, 7, 8 * 799 + 3])
def test_a_flipped_bit_is_found(bit, tmp_path):
    path = tmp_path / "a.h5"
    array = np.random.default_rng(0).integers(0, 9, (2, 50))
    write_artefact(path, {"feats": array}, {"seed": 1})
    content = bytearray(path.read_bytes())
    content[content.index(array.tobytes()) + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(UserError, match="'feats' does not fit its checksum"):
        read_plain(path)
    with h5py.File(path, "a") as file:
        file["feats"].attrs["sha256"] = [1, 2]
    with pytest.raises(UserError, match="'feats' does not fit its checksum"):
        read_plain(path)
    with h5py.File(path, "a") as file:  # as a file of an earlier version
        del file["feats"].attrs["sha256"]
    assert not np.array_equal(read_plain(path), array)


@pytest.mark.parametrize(("arrays", "complaint"), [
    ({"other": np.zeros((2, 2))}, r"has no array 'feats' \(it holds \['other'\]\)"),
    ({"feats": np.zeros((3, 2))}, r"'feats' is \(3, 2\), where .* ask for \(2, any\)"),
    ({"feats": np.zeros(2)}, r"'feats' is \(2,\)"),
    ({"feats": 3.0}, "'feats' is no array of numbers"),
    ({"feats": np.array([b"a", b"b"])}, "'feats' is no array of numbers"),
    ({"feats/deeper": np.zeros((2, 2))}, "has no array 'feats'")])
def test_what_does_not_fit_is_refused(arrays, complaint, tmp_path):
    download(tmp_path / "a.h5", **arrays)
    with pytest.raises(UserError, match=complaint):
        read_plain(tmp_path / "a.h5")


def test_a_downloaded_file_is_taken_with_a_word(tmp_path):
    lines = []
    download(tmp_path / "a.h5", feats=np.ones((2, 4)))
    assert read_plain(tmp_path / "a.h5", log=lines.append).shape == (2, 4)
    assert len(lines) == 1
    assert "does not say what it was made from" in lines[0]


def test_values_are_checked(tmp_path):
    download(tmp_path / "a.h5", feats=np.ones((2, 4)))
    with pytest.raises(UserError, match=f"'feats' is too round. Make it anew with `{COMMAND} --force`"):
        read_plain(tmp_path / "a.h5", check=lambda array: "is too round")


def test_preprocess_makes_the_release_files_and_training_reads_them(tmp_path, features):
    config = make_config(tmp_path)
    lines = run(config, features)
    assert remade(lines) == [*FILES[:4], "hash_center"]
    assert features.passes == 1
    assert read(config.latent_feat_path, "feats").shape == (40, 5)
    anchors = read(config.anchor_path, "feats")
    assert anchors.shape == (6, 5)
    np.testing.assert_array_equal(read(config.semantic_center_path, "matrix"), unit_rows(anchors))
    labels, centers = load_pseudo_labels(config), load_hash_centers(config)
    distances = np.linalg.norm(read(config.latent_feat_path, "feats")[:, None] - anchors, axis=2)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))
    assert labels.dtype == np.int64
    assert read(config.train_assist_path, "pos").shape == (40, 3)
    assert read(config.train_assist_path, "ids").shape == (40, 5)
    np.testing.assert_allclose(read(config.train_assist_path, "distances"), np.sort(distances)[:, :5],
                               rtol=1e-4)
    assert centers.dtype == np.int8
    assert centers.shape == (6, 8)
    with h5py.File(config.hash_center_path) as file:
        assert file.attrs["min_distance"] == 4
        assert {"start_min_distance", "pearson", "spearman", "release_score"} <= set(file.attrs)


def test_preprocess_tells_the_quality(tmp_path, features):
    table = next(line for line in run(make_config(tmp_path), features) if "gilbert varshamov" in line)
    assert "nan" not in table
    assert "release score" not in table
    names = "start", "end", "min distance", "mean distance", "gilbert varshamov", "pearson", "spearman"
    assert all(name in table for name in names)


def test_a_second_run_reuses_everything(tmp_path, features):
    config = make_config(tmp_path)
    run(config, features)
    lines = run(config, features)
    assert len(lines) == 5
    assert all(line.endswith("up to date, reused.") for line in lines)
    assert features.passes == 1


@pytest.mark.parametrize(("change", "expected"), [
    ({"rho": 1e-4}, ["hash_center"]),
    ({"nbits": 16}, ["hash_center"]),
    ({"initWithCSQ": False}, ["hash_center"]),
    ({"hash_center_assign": "semantic"}, ["hash_center"]),
    ({"num_anchor_neighbours": 4}, ["train_assist_path"]),
    ({"nclusters": 5}, [*FILES[1:4], "hash_center"]),
    ({"preprocess_seed": 2}, [*FILES[1:4], "hash_center"]),
    ({"latent_dim_pca": 4}, [*FILES[:4], "hash_center"])])
def test_a_changed_setting_rebuilds_what_depends_on_it(change, expected, tmp_path, features):
    run(make_config(tmp_path), features)
    changed = make_config(tmp_path, **change)
    lines = run(changed, features)
    assert remade(lines) == expected
    if "nbits" not in change:  # another file: nothing was stale
        assert any(next(iter(change)) in line and "rebuilding" in line for line in lines)
    load_pseudo_labels(changed)
    load_hash_centers(changed)


def test_other_features_rebuild_everything(tmp_path, features):
    run(make_config(tmp_path), features)
    lines = run(make_config(tmp_path), FakeFeatures(features.array[:30] + 1, "another film"))
    assert remade(lines) == [*FILES[:4], "hash_center"]
    assert any("features was film, now another film" in line for line in lines)


@pytest.mark.parametrize(("change", "words"), [({"preprocess_seed": 2}, "preprocess_seed was 1, now 2"),
                                               ({"nclusters": 5}, "nclusters was 6, now 5")])
def test_training_refuses_stale_artefacts(change, words, tmp_path, features):
    run(make_config(tmp_path), features)
    stale = make_config(tmp_path, **change)
    with pytest.raises(UserError, match=words):
        load_pseudo_labels(stale)
    with pytest.raises(UserError, match=words):
        load_hash_centers(stale)
    with pytest.raises(UserError, match="features was film, now other"):
        load_hash_centers(make_config(tmp_path), name="other")


def test_downloaded_files_are_used_and_only_force_replaces_them(tmp_path, features):
    config = make_config(tmp_path)
    anchors = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)
    download(config.anchor_path, feats=anchors)
    lines = run(config, features)
    assert "anchor_path" not in remade(lines)
    np.testing.assert_array_equal(read(config.semantic_center_path, "matrix"), unit_rows(anchors))
    assert "anchor_path" in remade(run(config, features, force=True))
    assert (read(config.anchor_path, "feats") != anchors).any()
    assert len(run(config, features)) == 5


def test_replacing_a_downloaded_input_rebuilds_what_came_from_it(tmp_path, features):
    config = make_config(tmp_path)
    download(config.latent_feat_path, feats=np.random.default_rng(1).standard_normal((40, 5)))
    run(config, features)
    (tmp_path / "latent_feat_path.h5").unlink()
    assert remade(run(config, features)) == [*FILES[:4], "hash_center"]


def test_a_downloaded_file_that_does_not_fit_is_not_overwritten(tmp_path, features):
    config = make_config(tmp_path)
    download(config.anchor_path, feats=np.zeros((7, 5)))
    with pytest.raises(UserError, match=r"anchor_path.h5: 'feats' is \(7, 5\).*--force"):
        run(config, features)
    assert read(config.anchor_path, "feats").shape == (7, 5)


def test_two_clusterings_are_pointed_out(tmp_path, features):
    config = make_config(tmp_path)
    download(config.semantic_center_path, matrix=unit_rows(np.random.default_rng(1).standard_normal((6, 5))))
    download(config.train_assist_path, pos=np.random.default_rng(1).integers(0, 6, (40, 3)))
    lines = [line for line in run(config, features) if "pseudo-label i does not mean hash center i" in line]
    assert [line.split(":")[0].split("/")[-1] for line in lines] == ["train_assist_path.h5",
                                                                     "semantic_center_path.h5"]


@pytest.mark.parametrize(("matrix", "complaint"), [
    (np.zeros((6, 8)), "must hold -1 and 1 only, but 0.0 is in it"),
    (np.full((6, 8), np.nan), "must hold -1 and 1 only, but nan"),
    (np.ones((8, 6)), r"is \(8, 6\)")])
def test_hash_centers_that_are_no_codes_are_refused(matrix, complaint, tmp_path):
    config = make_config(tmp_path)
    download(config.hash_center_path, matrix=matrix)
    with pytest.raises(UserError, match=complaint):
        load_hash_centers(config)


def test_downloaded_centers_and_labels_load(tmp_path):
    config, lines = make_config(tmp_path), []
    download(config.hash_center_path, matrix=np.ones((6, 8), dtype=np.float64))
    download(config.train_assist_path, pos=np.full((40, 3), 5.0))
    assert load_hash_centers(config, log=lines.append).dtype == np.int8
    assert load_pseudo_labels(config, log=lines.append).tolist() == [5] * 40
    assert len(lines) == 2


@pytest.mark.parametrize(("pos", "complaint"), [
    (np.full((40, 3), 6), "must hold cluster ids 0 to 5, but holds 6 to 6"),
    (np.full((40, 3), -1), "must hold cluster ids 0 to 5"),
    (np.full((40, 3), 0.5), "must hold whole numbers"),
    (np.full((40, 3), np.nan), "must hold whole numbers"),
    (np.zeros((40, 0)), "is empty"),
    (np.zeros((39, 3)), r"is \(39, 3\), where .* \(40, any\)")])
def test_pseudo_labels_that_are_no_ids_are_refused(pos, complaint, tmp_path):
    config = make_config(tmp_path)
    download(config.train_assist_path, pos=pos)
    with pytest.raises(UserError, match=complaint):
        load_pseudo_labels(config)


def test_more_dimensions_than_the_features_have_are_capped_with_a_word(tmp_path, features):
    config = make_config(tmp_path, latent_dim_pca=512)
    assert "12 are used" in run(config, features)[0]
    assert read(config.latent_feat_path, "feats").shape == (40, 12)
    load_pseudo_labels(config)


def test_too_many_clusters_are_told_before_any_work(tmp_path, features):
    with pytest.raises(UserError, match="do not fit nbits = 3"):
        run(make_config(tmp_path, nbits=3), features)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"film\.h5: 40 training videos cannot form nclusters = 41 clusters"):
        run(make_config(tmp_path, nclusters=41), features)


@pytest.mark.parametrize("num_clusters", [1, 2])
def test_one_and_two_clusters_work(num_clusters, tmp_path, features):
    config = make_config(tmp_path, nclusters=num_clusters)
    run(config, features)
    assert load_hash_centers(config).shape == (num_clusters, 8)
    assert len(set(load_pseudo_labels(config))) == num_clusters


GRAPH = NEAREST_ANCHORS,


def test_a_graph_alone_is_made_where_it_alone_is_needed(tmp_path, features):
    config = make_config(tmp_path)
    run(config, features, needed=GRAPH)
    assert {path.name for path in tmp_path.iterdir()} == {"latent_feat_path.h5", "structure_path.h5"}
    loaded = read_one(NEAREST_ANCHORS, config)
    latents, anchors = read(config.latent_feat_path, "feats"), read(config.structure_path, "feats")
    assert anchors.shape == (9, 5)
    distances = np.linalg.norm(latents[:, None] - anchors, axis=2)
    np.testing.assert_array_equal(loaded["ids"], np.argsort(distances, axis=1)[:, :5])
    np.testing.assert_allclose(loaded["distances"], np.sort(distances)[:, :5], rtol=1e-4)
    assert all(line.endswith("up to date, reused.") for line in run(config, features, needed=GRAPH))
    assert len(run(config, features, needed=(*GRAPH, *LABELS_AND_CENTERS))) == 7


@pytest.mark.parametrize(("change", "words"), [({"nanchors": 8}, "nanchors was 9, now 8"),
                                               ({"preprocess_seed": 2}, "preprocess_seed was 1, now 2")])
def test_a_stale_graph_is_refused_and_made_anew(change, words, tmp_path, features):
    run(make_config(tmp_path), features, needed=GRAPH)
    stale = make_config(tmp_path, **change)
    with pytest.raises(UserError, match=words):
        read_one(NEAREST_ANCHORS, stale)
    run(stale, features, needed=GRAPH)
    assert read_one(NEAREST_ANCHORS, stale)["ids"].max() < stale.nanchors


def test_too_many_anchors_are_told_by_their_key(tmp_path, features):
    with pytest.raises(UserError, match=r"nanchors = 41, but .* set nanchors to 40 or less"):
        run(make_config(tmp_path, nanchors=41), features, needed=GRAPH)


def test_few_anchors_make_a_graph(tmp_path, features):
    config = make_config(tmp_path, nanchors=3)
    run(config, features, needed=GRAPH)
    assert read_one(NEAREST_ANCHORS, config)["ids"].shape == (40, 3)


@pytest.mark.parametrize(("distances", "complaint"), [(-np.ones((40, 5)), "'distances' holds negative numbers"),
                                                      (np.full((40, 5), np.nan), "'distances' holds NaN"),
                                                      (np.ones((40, 4)), r"'distances' is \(40, 4\)")])
def test_distances_that_are_none_are_refused(distances, complaint, tmp_path):
    config = make_config(tmp_path)
    download(config.structure_path, ids=np.zeros((40, 5)), distances=distances)
    with pytest.raises(UserError, match=complaint):
        read_one(NEAREST_ANCHORS, config)


def test_centers_by_descent_are_others_and_know_it(tmp_path, features):
    run(make_config(tmp_path), features)
    descent = {"center_solver": "descent", "center_min_distance": None}
    config = make_config(tmp_path, **descent)
    lines = run(config, features)
    assert remade(lines) == ["hash_center"]
    assert any("center_solver was not recorded, now descent" in line for line in lines)
    assert sum("up to date" in line for line in run(config, features)) == 5
    with h5py.File(config.hash_center_path) as file:
        assert file.attrs["min_distance"] >= file.attrs["gilbert_varshamov"]
    assert remade(run(make_config(tmp_path, rho=1e-3, **descent), features)) == []
    assert remade(run(make_config(tmp_path), features)) == ["hash_center"]
