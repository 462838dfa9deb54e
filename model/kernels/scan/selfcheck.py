"""Whether an engine is right on this machine, which its import alone does not prove."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.kernels.scan import reference

TOLERANCE = 1e-3  # of the largest value: room for float32 and approximate exponentials, none for a wrong result


@torch.inference_mode(False)  # asked for anywhere, also where nothing else needs gradients
@torch.enable_grad()
def scan_is_right(scan: Callable[..., Tensor], device: str) -> bool:
    """Whether `scan` gives the outputs and gradients of the reference for a small problem on `device`."""
    u, delta, z, B, C, A, D, bias = _draw((2, 9, 40), (2, 9, 40), (2, 9, 40), (2, 9, 16), (2, 9, 16), (40, 16), (40,),
                                          (40,))
    return _agree(scan, reference.selective_scan, [u, delta, -A.abs(), B, C, D, z, bias], device)


@torch.inference_mode(False)
@torch.enable_grad()
def conv_is_right(conv: Callable[..., Tensor], truth: Callable[..., Tensor], device: str) -> bool:
    """Whether `conv` gives the outputs and gradients of `truth`, a causal convolution and SiLU, on `device`."""
    return _agree(conv, truth, _draw((2, 9, 40), (40, 4), (40,)), device)


def _agree(function: Callable[..., Tensor], truth: Callable[..., Tensor], inputs: list[Tensor], device: str) -> bool:
    """Whether `function` in float32 on `device` does what `truth` does in float64 on the CPU."""
    pairs = []
    for call, kind in ((function, {"device": device, "dtype": torch.float32}), (truth, {"dtype": torch.float64})):
        leaves = [x.detach().to(**kind).requires_grad_() for x in inputs]
        y = call(*leaves)
        pairs.append([x.detach().to("cpu", torch.float64) for x in (y, *torch.autograd.grad(y.square().sum(), leaves))])
    return all(torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE * theirs.abs().max().item())
               for ours, theirs in zip(*pairs, strict=True))


def _draw(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for shape in shapes]
