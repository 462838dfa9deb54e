"""Floating-point operations of a piece of code, counted while it runs: no formula per model, no names of layers.

What a torch operation costs:

| operation | cost |
|-|-|
| matrix product, convolution, fused attention | two per multiply-add; a bias within it is free |
| view, copy, gather, fill, random draw | nothing |
| anything else, comparisons included | one per element of its largest floating-point tensor |

The largest tensor is the output of an element-wise operation and the input of a reduction; a softmax, a norm or
an exponential is one per element too. Fused attention counts its two products forward and five backward (the
scores are computed anew), causal or not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten

MOVES = {
    "clone", "copy", "_to_copy", "_unsafe_view", "unsafe_split", "unsafe_split_with_sizes", "cat", "stack", "flip",
    "roll", "repeat", "constant_pad_nd", "tril", "triu", "where", "masked_fill", "gather", "index", "index_select",
    "take", "embedding", "masked_select", "index_put", "index_copy", "index_fill", "scatter", "select_scatter",
    "slice_scatter", "diagonal_scatter", "select_backward", "slice_backward", "diagonal_backward", "fill", "zero",
    "full_like", "zeros_like", "ones_like", "empty_like", "new_empty", "new_empty_strided", "new_full", "new_zeros",
    "new_ones", "uniform", "normal", "bernoulli", "random", "exponential", "rand_like", "randn_like",
    "_local_scalar_dense", "lift_fresh",
}


def count_flops(call: Callable[..., object], *inputs: object) -> int:
    """The floating-point operations that torch dispatches on the CPU during `call(*inputs)`, backward passes included.

    Code outside torch is invisible: the `cpu` engine of the selective scan counts nothing, `reference` all.
    A fused kernel that the table above does not name counts as a single pass over its largest tensor.
    """
    with _separate_kernels(), _Counter() as counter:
        call(*inputs)
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up the cost of each operation on its way to a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:  # inference mode hands over whole layers: their own operations are what counts
            result = func.decompose(*args, **kwargs)
        if result is NotImplemented:
            result = func(*args, **kwargs)
            self.total += _cost(func, args, kwargs, result)
        return result


@contextmanager
def _separate_kernels() -> Iterator[None]:
    """Keeps torch from running a recurrent layer or an attention layer as one kernel that says nothing inside."""
    mkldnn, attention = torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = mkldnn
        torch.backends.mha.set_fastpath_enabled(attention)


def _cost(func, args: tuple, kwargs: dict[str, Any], result: object) -> int:
    formula = FORMULAS.get(func.overloadpacket)
    if formula:
        return formula(*args, **kwargs, out_val=result)
    if func.is_view or func.overloadpacket.__name__.rstrip("_") in MOVES:
        return 0
    read, written = ([x for x in tree_leaves(values) if isinstance(x, Tensor)] for values in ((args, kwargs), result))
    if not read:
        return 0  # made from nothing, as zeros or random numbers are
    return max((x.numel() for x in (*read, *written) if x.is_floating_point()), default=0)


def _dot(x: Tensor, y: Tensor, **_) -> int:
    return 2 * x.numel()


def _matrix_vector(matrix: Tensor, vector: Tensor, **_) -> int:
    return 2 * matrix.numel()


def _added_matrix_vector(start: Tensor, matrix: Tensor, vector: Tensor, **_) -> int:
    return 2 * matrix.numel()


def _convolution_backward(dy: Tensor, x: Tensor, weight: Tensor, bias, stride, padding, dilation, transposed,
                          output_padding, groups, wanted, **_) -> int:
    """One product the size of the forward one for dx and one for d weight; torch's formula forgets the groups."""
    places = (x if transposed else dy)[:, 0].numel()
    return 2 * places * weight.numel() * sum(wanted[:2])


def _attention(q: Tensor, k: Tensor, v: Tensor, *args, **_) -> int:
    return sdpa_flop_count(q.shape, k.shape, v.shape)


def _attention_backward(dy: Tensor, q: Tensor, k: Tensor, v: Tensor, *args, **_) -> int:
    return sdpa_backward_flop_count(dy.shape, q.shape, k.shape, v.shape)


FORMULAS: dict[Any, Callable[..., int]] = flop_registry | {
    aten.dot: _dot,
    aten.mv: _matrix_vector,
    aten.addmv: _added_matrix_vector,
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
