"""Files written well that hold something else than their readers expect: checkpoints, .mat and text."""

import json
import random
from pathlib import Path

import numpy as np
import scipy.io
import torch
from scipy import sparse

from tests.fuzz.archives import hostile_pickle

_NOT_TENSORS = (None, 3, "text", [1.0], {}, torch.Size([3]), 1e400, b"bytes", ())
_EPOCHS = ("ten", None, -5, 2.5, float("nan"), [1], 2**70, True, torch.tensor(3), torch.zeros(3))


def change_run(path: Path, rng: random.Random) -> None:
    """Saves the checkpoint of a run at `path` with an entry, at any depth, left out or changed."""
    content = torch.load(path, weights_only=True)
    node, key = content, rng.choice(list(content))
    while isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
        node = node[key]
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
    if rng.random() < 0.3:
        del node[key]
    elif isinstance(node[key], torch.Tensor) and rng.random() < 0.5:
        node[key] = _odd_tensor(node[key], rng)
    else:
        node[key] = rng.choice((*_NOT_TENSORS, torch.zeros(2), True, -1, [[]], {"a": {}}))
    torch.save(content, path)


def change_checkpoint(path: Path, rng: random.Random) -> None:
    """Saves the checkpoint at `path` with other content, or a pickle in its place."""
    if rng.random() < 0.25:
        path.write_bytes(hostile_pickle(rng))
        return
    content = torch.load(path, weights_only=True)
    state = content["model_state_dict"]
    name = rng.choice(list(state))
    way = rng.randrange(9)
    if way == 0:
        state[name] = rng.choice(_NOT_TENSORS)
    elif way == 1:
        state[name] = _odd_tensor(state[name], rng)
    elif way == 2:
        state[rng.choice((3, None, ("a", 1), "x" * 5000, "line\nbreak", "hash_centers", "get_token_probs.x"))] = (
            rng.choice((state[name], *_NOT_TENSORS)))
    elif way == 3:
        del state[name]
    elif way == 4:
        content["epoch"] = rng.choice(_EPOCHS)
    elif way == 5:
        content["model_state_dict"] = rng.choice((*_NOT_TENSORS, list(state.items()), state[name]))
    elif way == 6:
        content = rng.choice((*_NOT_TENSORS, state, [content], state[name]))
    elif way == 7:
        state[name] = state[name] + rng.choice((float("nan"), float("inf"), 1e38))
    else:
        content["config"] = rng.choice((None, 3, {"nbits": "x"}, {3: 4}, []))
    torch.save(content, path, _use_new_zipfile_serialization=rng.random() < 0.7)


def _odd_tensor(tensor: torch.Tensor, rng: random.Random) -> torch.Tensor:
    ways = (lambda: tensor.to_sparse(), lambda: tensor.to("meta"), lambda: tensor.to(torch.complex64),
            lambda: tensor.to(torch.int64), lambda: tensor.bool(), lambda: tensor.new_zeros(1).expand(10**12),
            lambda: tensor.reshape(-1)[:0], lambda: tensor[None], lambda: tensor.to(torch.float8_e4m3fn),
            lambda: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8), lambda: tensor.half(),
            lambda: torch.nested.nested_tensor([tensor, tensor]), lambda: tensor.new_zeros(1).expand(tensor.shape),
            lambda: torch.nn.Parameter(tensor.float()), lambda: tensor.to_sparse_csr() if tensor.ndim == 2 else tensor)
    return rng.choice(ways)()


def change_labels(path: Path, rng: random.Random) -> None:
    """Saves other variables than labels as a .mat file of version 5 or 4, or as .npy."""
    count = rng.choice((12, 12, 11, 1, 0))
    ids = np.arange(count) % 4
    array = rng.choice((np.eye(4)[ids], ids, ids[:, None], ids[None], ids + 0.5, ids - 1, ids * 10**9,
                        np.eye(4)[ids] * 2, np.full((count, 4), np.nan), np.full(count, np.inf), np.zeros((count, 4)),
                        np.zeros((count, 0)), np.eye(4)[ids] + 0j, np.zeros((2, 3, 4)), np.array("text"),
                        np.full((count, 1), "x", object), np.eye(4, dtype=bool)[ids],
                        sparse.csc_matrix(np.eye(4)[ids]), np.uint64(2**64 - 1) + np.zeros(count, np.uint64),
                        sparse.csc_matrix((10**6, 10**6)), {"a": np.eye(3)}, np.float64(3)))
    names = rng.choice((("labels",), ("x",), ("labels", "re_label"), ("x", "y"), ()))
    if rng.random() < 0.2 and isinstance(array, np.ndarray):
        with open(path, "wb") as file:
            np.save(file, array, allow_pickle=True)
    else:
        simple = isinstance(array, (np.ndarray, np.generic)) and array.dtype != object and np.ndim(array) <= 2
        scipy.io.savemat(path, dict.fromkeys(names, array), do_compression=rng.random() < 0.5,
                         format="4" if simple and array.dtype != bool and rng.random() < 0.3 else "5")


_LINES = ("x = ", "nbits = 'many'", "nbits = 10**400", "nbits = float('nan')", "lr = float('inf')", "nbits = -nbits",
          "nbits = nbits + 1", "unknown = 3", "map_at = []", "map_at = [5, '6', None]", "map_at = [[1]]",
          "dataset = ''", "dataset = '../up'", "dataset = 'a' * 100000", "dataset = 'a\\nb'", "data_root = b'x'",
          "data_root = '\\0'", "1/0", "raise ValueError('a\\nb')", "_base_ = 'config.py'", "_base_ = 3",
          "_base_ = ['gone.py']", "_base_ = ''", "import nothing_of_this_name", "from os import *", "nbits = {}",
          "nbits = lambda: 3", "nbits = nan", "del nbits", "def nbits(): pass", "class nbits: pass", "lr = min_lr / 2",
          "mask_ratio = 1e-300", "nclusters = 2**60", "x = '\\d'", "nbits = True", "nbits = None", "nbits: int = 16",
          "(nbits := 24)", "for nbits in (8, 16): pass", "globals().clear()", "locals().clear()", "__builtins__ = {}",
          "nbits = [nbits]; nbits.append(nbits)", "map_at = [1]; map_at.append(map_at)", "train_feat_path = {}",
          "train_feat_path = ['a', None]", "frame_shape = [10**200, 10**200]", "seed = 2**64", "assert False",
          "raise SystemError", "raise KeyError", "x = (" + "(" * 300, "x = " + "(" * 150 + ")" * 150,
          "x = " + "-" * 200_000 + "1", "x = " + "1+" * 50_000 + "1", "x = " + "[" * 5000, "x = 1" + "0" * 10_000,
          "x" * 100_000, "# coding: no-such", "\f", "\u2028", "\ufeff", "é = 1", "model_name = 'No'", "method = 3.0",
          "def f(): return f()\nf()", "class A:\n  def __repr__(self): 1/0\nnbits = A()",
          "class N(int): pass\nnbits = N(16)", "class S(str):\n  def strip(self): return 3\nmethod = S('a')",
          "raise type('E', (Exception,), {'__str__': lambda self: 3})()", "run_name = 'x' * 10**6",
          "import sys; nbits = sys")


def change_config(path: Path, rng: random.Random) -> None:
    """Puts one or two strange lines into the config at `path`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for _ in range(rng.choice((1, 1, 2))):
        lines.insert(rng.choice((0, len(lines), rng.randint(0, len(lines)))), rng.choice(_LINES))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def change_json(path: Path, rng: random.Random) -> None:
    """Replaces a value, at any depth, of one of the documents that are the lines of `path`, or leaves it out."""
    text = path.read_text(encoding="utf-8")
    whole = not text.startswith("{\n") and text.count("\n") > 1  # a document a line
    lines = text.splitlines() if whole else [text]
    place = rng.randrange(len(lines))
    node = top = [json.loads(lines[place])]
    key = 0
    while isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
        node = node[key]
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
    if rng.random() < 0.2:
        del node[key]
    else:
        node[key] = rng.choice((None, True, -1, 0, 2.5, "x", "", [], {}, [[]], {"a": 1}, float("nan"), float("inf"),
                                10**400, "\ud800", "@"))
    deep = rng.choice(("[" * 100_000, '{"a":' * 100_000, "1" * 5000, "[" * 100_000 + "]" * 100_000))
    lines[place] = json.dumps(top[0] if top else "").replace('"@"', deep)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def change_text(path: Path, rng: random.Random) -> None:
    """Writes other lines to the text file at `path`."""
    lines = rng.choice((["a", "a"], ["", "b"], ["\0"], ["x" * 10**6], [], ["\u2028", "b"], ["a\rb"], ["\ufeffa"],
                        ["a"] * 12))
    path.write_text("\n".join(lines), encoding=rng.choice(("utf-8", "utf-16", "utf-8")))
