"""Codes, their packing and their statistics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.codes import binarize_up, is_binary, pack, ternary, unpack
from inference.encode import encode_features
from inference.statistics import code_statistics
from utils.errors import UserError

QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def random_code(num_items, num_bits, seed=0):
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (num_items, num_bits))


def test_binarize_sends_zero_to_plus_one():
    h = np.array([[0.0, -0.0, 1e-30, -1e-30], [np.inf, -np.inf, 2, -3]])
    code = binarize_up(h)
    assert code.dtype == np.int8
    assert code.tolist() == [[1, 1, 1, -1], [1, -1, 1, -1]]


def test_ternary_keeps_zeros():
    code = ternary(np.array([[0.0, -0.0, 0.5, -0.5]], np.float32))
    assert code.dtype == np.int8
    assert code.tolist() == [[0, 0, 1, -1]]


@pytest.mark.parametrize("sign", [binarize_up, ternary])
def test_nan_is_a_one_line_error(sign):
    h = np.zeros((3, 4))
    h[1, 2] = np.nan
    with pytest.raises(UserError, match=r"1 NaN of 12 values \(first at \(1, 2\)\)") as caught:
        sign(h)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_pack_by_hand():
    code = np.array([[1, -1, -1, -1, -1, -1, -1, 1, 1, -1]], np.int8)
    assert pack(code).tolist() == [[0b10000001, 0b10000000]]


@QUICK
@given(num_items=st.integers(0, 9), num_bits=st.one_of(st.integers(1, 70), st.integers(1, 1024)),
       seed=st.integers(0, 99))
def test_unpack_inverts_pack(num_items, num_bits, seed):
    code = random_code(num_items, num_bits, seed)
    bits = pack(code)
    assert bits.dtype == np.uint8
    assert bits.shape == (num_items, (num_bits + 7) // 8)
    back = unpack(bits, num_bits)
    assert back.dtype == np.int8
    np.testing.assert_array_equal(back, code)


def test_pack_refuses_what_is_no_binary_code():
    with pytest.raises(ValueError, match="-1 and \\+1"):
        pack(np.array([[1, 0, -1]]))
    with pytest.raises(ValueError, match="shape"):
        pack(np.array([1, -1]))
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        unpack(np.zeros((3, 1), np.uint8), 9)


def test_is_binary():
    assert is_binary(np.array([[1, -1]]))
    assert not is_binary(np.array([[1, 0]]))


class ArrayFeatures:
    """Features held in memory, handed out read-only as a memory-mapped file would."""

    def __init__(self, values):
        self.values = values
        self.values.flags.writeable = False
        self.shape = values.shape

    def blocks(self, num_rows):
        for start in range(0, len(self.values), num_rows):
            yield start, self.values[start:start + num_rows]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 12, 50])
def test_encode_features_covers_every_batch_remainder(batch_size):
    values = np.random.default_rng(0).standard_normal((12, 5, 3)).astype(np.float32)
    projection = torch.ones(3, 6, requires_grad=True)
    done = []

    def encode(x):
        assert len(x) <= batch_size
        out = (x @ projection).mean(dim=1)
        assert not out.requires_grad
        return out

    h = encode_features(encode, ArrayFeatures(values), batch_size=batch_size, device="cpu",
                        progress=done.append)
    assert h.dtype == np.float32
    assert sum(done) == 12
    np.testing.assert_allclose(h, np.repeat(values.sum(2).mean(1)[:, None], 6, axis=1), atol=1e-5)


def test_encode_features_converts_each_batch():
    features = ArrayFeatures(np.random.default_rng(0).standard_normal((12, 1, 9)).astype(np.float32))
    bits = encode_features(lambda x: x[:, 0], features, batch_size=5, device="cpu",
                           convert=lambda h: pack(binarize_up(h)))
    np.testing.assert_array_equal(bits, pack(binarize_up(features.values[:, 0])))


def test_encode_features_refuses_other_shapes():
    features = ArrayFeatures(np.zeros((4, 5, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(4, 5, 3\) for 4 videos"):
        encode_features(lambda x: x, features, batch_size=8, device="cpu")
    empty = ArrayFeatures(np.zeros((0, 5, 3), np.float32))
    with pytest.raises(ValueError, match="no videos"):
        encode_features(lambda x: x, empty, batch_size=8, device="cpu")


@pytest.mark.parametrize(("num_frames", "most"), [(512, 4), (1024, 2), (2048, 1), (9000, 1)])
def test_long_videos_come_in_smaller_batches(num_frames, most):
    sizes = []

    def encode(x):
        sizes.append(len(x))
        return x[:, 0]

    features = ArrayFeatures(np.arange(5.0, dtype=np.float32)[:, None, None] + np.zeros((1, num_frames, 1), np.float32))
    h = encode_features(encode, features, batch_size=64, device="cpu")
    assert max(sizes) == most
    assert h[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_encode_features_in_bf16_computes_in_it():
    features = ArrayFeatures(np.full((4, 5, 3), 1.001, np.float32))
    encode = torch.nn.Sequential(torch.nn.Linear(3, 1, bias=False), torch.nn.Flatten())
    torch.nn.init.ones_(encode[0].weight)
    exact = encode_features(encode, features, batch_size=3, device="cpu")
    rounded = encode_features(encode, features, batch_size=3, device="cpu", amp="bf16")
    np.testing.assert_allclose(exact, 3.003, rtol=1e-6)
    assert (rounded == 3).all()  # bfloat16 has eight bits


def test_a_fault_while_reading_ahead_reaches_the_caller():
    class Broken(ArrayFeatures):
        def blocks(self, num_rows):
            yield 0, self.values[:num_rows]
            raise UserError("x.h5: row 2 holds NaN.")

    with pytest.raises(UserError, match="row 2"):
        encode_features(lambda x: x[:, 0], Broken(np.zeros((4, 5, 3), np.float32)), batch_size=2, device="cpu")


def naive_statistics(code):
    num_bits = code.shape[1]
    entropies, dead = [], 0
    for bit in code.T:
        p = sum(bit == 1) / len(bit)
        dead += p in (0, 1)
        entropies.append(-sum(q * np.log2(q) for q in (p, 1 - p) if q > 0))
    correlations = [abs(np.corrcoef(code[:, i], code[:, j])[0, 1]) for i in range(num_bits)
                    for j in range(num_bits) if i != j and np.ptp(code[:, i]) and np.ptp(code[:, j])]
    return {"bit_entropy": np.mean(entropies), "dead_bits": dead,
            "bit_correlation": np.mean(correlations) if correlations else 0.0,
            "distinct_codes": len({tuple(row) for row in code.tolist()})}


@QUICK
@given(num_items=st.integers(1, 12), num_bits=st.integers(1, 11), seed=st.integers(0, 999))
def test_statistics_agree_with_a_naive_loop(num_items, num_bits, seed):
    code = random_code(num_items, num_bits, seed)
    found, expected = code_statistics(code), naive_statistics(code)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_statistics_by_hand():
    code = np.array([[1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1]], np.int8)
    assert code_statistics(code) == {"bit_entropy": pytest.approx(2 / 3), "dead_bits": 1,
                                     "bit_correlation": 0.0, "distinct_codes": 4}


def test_statistics_refuse_codes_with_zeros_and_empty_ones():
    with pytest.raises(ValueError, match="-1 and \\+1"):
        code_statistics(np.array([[0, 1]]))
    with pytest.raises(ValueError, match="no codes"):
        code_statistics(np.zeros((0, 8), np.int8))
