"""Everything preprocess makes: latents, anchors, pseudo-labels, semantics, hash centres, the similarity graph.

One clustering serves labels and centres: label i is centre i. The graph has anchors of its own, many more. Letters:
N videos, F features, C clusters, K bits, P latent dimensions.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from artefacts import clustering
from artefacts import store as artefacts
from artefacts.anchor_graph import LEVELS
from artefacts.centers.measures import CenterMeasures
from artefacts.centers.solver import HashCenters, check_settings, solve_hash_centers
from artefacts.store import inspect_artefact, read_artefact, write_artefact
from utils.files.lock import Lock
from utils.files.writing import remove_parts, scratch_array

MAX_SWEEPS = 20
LABEL_NEIGHBOURS = 3
GRAPH_ITERATIONS = 16  # of k-means, as in BTH: the graph's anchors quantise, no label hangs on them
LABELS_AND_CENTERS = frozenset({"pseudo_labels", "hash_centers"})
GRAPH = frozenset({"anchor_ids", "anchor_distances"})
_OTHER_CLUSTERING = ("comes from another clustering than {}, so pseudo-label i does not mean hash centre i; "
                     "--force makes them from one.")


@dataclass(frozen=True)
class Workshop:
    """Reuses an artefact that still fits, or makes it anew, and says which in one line."""

    force: bool
    command: str
    log: Callable[[str], None]

    def provide(self, path: str, key: str, make: Callable[[], Mapping], *, made_from: Mapping, shape: tuple,
                check: artefacts.Check, attributes: Callable[[], Mapping] = dict) -> np.ndarray:
        """The array `key` of the artefact at `path`; `make` gives all its arrays where they must be made.

        Raises:
            UserError: a file that no preprocess wrote does not fit: it is not overwritten without `force`.
        """
        read = partial(read_artefact, path, key, expected=made_from, shape=shape, check=check, command=self.command,
                       log=self.log)
        if (array := self._reuse(path, made_from, read)) is not None:
            return array
        with _lock(path, self.log):
            if (array := self._reuse(path, made_from, read)) is not None:  # made by another while we waited
                return array
            if not self.force and (reason := inspect_artefact(path, made_from).reason):
                self.log(f"{path}: made for other settings ({reason}); rebuilding.")
            remove_parts(path)
            arrays = make()
            write_artefact(path, arrays, made_from, attributes())
        self.log(f"{path}: written.")
        return arrays[key]

    def _reuse(self, path: str, made_from: Mapping, read: Callable[[], np.ndarray]) -> np.ndarray | None:
        """What `read` gives, where the artefact at `path` fits; None where it must be made."""
        state = None if self.force else inspect_artefact(path, made_from)
        if state is None or state.kind not in ("fresh", "foreign"):
            return None
        array = read()
        if state.kind == "fresh":
            self.log(f"{path}: up to date, reused.")
        return array


def run(config, features, *, needed: Collection[str] = LABELS_AND_CENTERS, force: bool = False,
        command: str = artefacts.PREPROCESS, log: Callable[[str], None] = print) -> None:
    """Makes the artefacts of `config` from the training `features` (N,T,F), reusing those that still fit.

    Downloaded files are used where they fit and overwritten only with `force`. `needed` are a method's
    `required_artefacts`; labels and centres are made together.

    Raises:
        UserError: too few distinct videos for nclusters, nclusters too many for nbits, a file that does
            not fit or cannot be written.
    """
    if LABELS_AND_CENTERS.intersection(needed):
        check_settings(config.nclusters, config.nbits, config.hash_center_assign)
    shop = Workshop(force, command, log)
    fingerprint = features.fingerprint()
    latents = _latents(shop, config, features, fingerprint)
    if LABELS_AND_CENTERS.intersection(needed):
        anchors = _anchors(shop, config, latents, fingerprint)
        _assignment(shop, config, latents, anchors, fingerprint)
        semantics = _semantics(shop, config, anchors, fingerprint)
        _hash_centers(shop, config, semantics, fingerprint)
    if GRAPH.intersection(needed):
        _structure(shop, config, latents, fingerprint)


def _latents(shop: Workshop, config, features, fingerprint: str) -> np.ndarray:
    num_videos, _, num_features = features.shape
    num_dims = min(config.latent_dim_pca, num_videos, num_features)
    if num_dims < config.latent_dim_pca:
        shop.log(f"latent_dim_pca = {config.latent_dim_pca} is more than {num_videos} videos of "
                 f"{num_features} features have; {num_dims} are used.")

    def make() -> dict:
        with scratch_array((num_videos, num_features), Path(config.latent_feat_path).parent) as means:
            with tqdm(total=num_videos, desc="frame means", disable=None, leave=False) as bar:
                clustering.frame_means(features, bar.update, means)
            return {"feats": clustering.project(means, num_dims)}

    return shop.provide(config.latent_feat_path, "feats", make, shape=(num_videos, num_dims),
                        made_from=artefacts.latent_settings(config, fingerprint), check=artefacts.finite)


def _anchors(shop: Workshop, config, latents: np.ndarray, fingerprint: str) -> np.ndarray:
    made_from = {**artefacts.cluster_settings(config, fingerprint), "latents": artefacts.digest(latents)}
    return shop.provide(config.anchor_path, "feats", made_from=made_from, check=artefacts.finite,
                        shape=(config.nclusters, latents.shape[1]),
                        make=lambda: {"feats": clustering.cluster(latents, config.nclusters, config.preprocess_seed)})


def _assignment(shop: Workshop, config, latents: np.ndarray, anchors: np.ndarray, fingerprint: str) -> None:
    made_from = {**artefacts.assignment_settings(config, fingerprint), "latents": artefacts.digest(latents),
                 "anchors": artefacts.digest(anchors)}
    num_neighbours = config.num_anchor_neighbours
    ids, distances = clustering.nearest_anchors(latents, anchors, max(num_neighbours, LABEL_NEIGHBOURS))
    arrays = {"pos": ids[:, :LABEL_NEIGHBOURS], "ids": ids[:, :num_neighbours],
              "distances": distances[:, :num_neighbours]}
    positions = shop.provide(config.train_assist_path, "pos", lambda: arrays, made_from=made_from,
                             shape=(len(latents), None), check=artefacts.ids_below(config.nclusters))
    if (positions[:, 0] != ids[:, 0]).mean() > 0.01:  # other software may settle near ties otherwise
        shop.log(f"{config.train_assist_path}: {_OTHER_CLUSTERING.format(config.anchor_path)}")


def _structure(shop: Workshop, config, latents: np.ndarray, fingerprint: str) -> None:
    """The nearest of the graph's anchors to each video, with their distances: O(N) in place of N x N similarities."""
    made_from = {**artefacts.structure_settings(config, fingerprint), "latents": artefacts.digest(latents)}

    def make() -> dict:
        anchors = clustering.cluster(latents, config.nanchors, config.preprocess_seed, restarts=1,
                                     max_iterations=GRAPH_ITERATIONS, key="nanchors")
        ids, distances = clustering.nearest_anchors(latents, anchors, max(LEVELS))
        return {"feats": anchors, "ids": ids, "distances": distances}

    shop.provide(config.structure_path, "ids", make, made_from=made_from, check=artefacts.ids_below(config.nanchors),
                 shape=(len(latents), min(max(LEVELS), config.nanchors)))


def _semantics(shop: Workshop, config, anchors: np.ndarray, fingerprint: str) -> np.ndarray:
    made_from = {**artefacts.cluster_settings(config, fingerprint), "anchors": artefacts.digest(anchors)}
    own = clustering.unit_rows(anchors)
    semantics = shop.provide(config.semantic_center_path, "matrix", lambda: {"matrix": own},
                             made_from=made_from, shape=own.shape, check=artefacts.finite)
    if not np.allclose(semantics, own, atol=1e-4):
        shop.log(f"{config.semantic_center_path}: {_OTHER_CLUSTERING.format(config.anchor_path)}")
    return semantics


def _hash_centers(shop: Workshop, config, semantics: np.ndarray, fingerprint: str) -> np.ndarray:
    made_from = {**artefacts.center_settings(config, fingerprint), "semantics": artefacts.digest(semantics)}
    solved: list[HashCenters] = []

    def make() -> dict:
        solved.append(_solve(config, semantics))
        shop.log(quality_table(solved[0].start, solved[0].end))
        return {"matrix": solved[0].codes}

    return shop.provide(config.hash_center_path, "matrix", make, made_from=made_from,
                        shape=(config.nclusters, config.nbits), check=artefacts.plus_minus_one,
                        attributes=lambda: _quality(solved[0]))


def _solve(config, semantics: np.ndarray) -> HashCenters:
    with tqdm(total=MAX_SWEEPS * len(semantics), desc="hash centres", disable=None, leave=False) as bar:
        def progress(num_rows: int, codes: np.ndarray) -> None:
            if not bar.disable and (bar.n % len(semantics)) + num_rows >= len(semantics):
                products = codes @ codes.T - 2.0 * codes.shape[1] * np.eye(len(codes))
                bar.set_postfix(min_distance=int((codes.shape[1] - products.max()) / 2), refresh=False)
            bar.update(num_rows)

        return solve_hash_centers(
            semantics, config.nbits, seed=config.preprocess_seed, rho=config.rho, gamma=config.gamma,
            hadamard_start=bool(config.initWithCSQ), max_sweeps=MAX_SWEEPS, progress=progress,
            assign=config.hash_center_assign)


def _lock(path: str, log: Callable[[str], None]) -> Lock:
    """The lock on making the artefact at `path`: two processes make it one after the other."""
    return Lock(Path(path).with_name(f".{Path(path).name}.lock"), wait=log)


def quality_table(start: CenterMeasures, end: CenterMeasures) -> str:
    """A table of the measures, start beside end, one per line."""
    lines = [f"{'hash centres':<22}{'start':>10}{'end':>10}"]
    for (name, before), after in zip(asdict(start).items(), asdict(end).values(), strict=True):
        lines.append(f"{name.replace('_', ' '):<22}{before:>10.4g}{after:>10.4g}")
    return "\n".join(lines)


def _quality(solved: HashCenters) -> dict:
    start = {f"start_{name}": value for name, value in asdict(solved.start).items()}
    return {**asdict(solved.end), **start, "num_sweeps": solved.num_sweeps,
            "num_repaired": solved.num_repaired}
