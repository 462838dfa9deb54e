"""The selective scan of the mamba-ssm package (CUDA), where it is installed and agrees with ours.

That its import works proves little: releases exist whose import succeeds and whose forward raises. So the
engine counts as available only after a tiny forward and backward on the device agreed with the reference.
"""

import functools

import torch
from torch import Tensor

from model.kernels.scan.selfcheck import scan_is_right


@functools.cache
def unavailable() -> str | None:
    """None where the engine can be used; otherwise one line that says why not."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # noqa: F401
    except Exception as error:  # a broken binary raises anything from ImportError to OSError
        return f"mamba-ssm cannot be imported ({type(error).__name__}); see requirements-cuda.txt"
    try:
        right = scan_is_right(selective_scan, "cuda")
        return None if right else "mamba-ssm disagrees with the reference on this device"
    except Exception as error:
        return f"mamba-ssm fails on this device ({type(error).__name__}: {str(error).splitlines()[0]})"


def supports(u: Tensor, A: Tensor) -> bool:
    """Whether the engine takes these tensors: on CUDA, in float32, float16 or bfloat16."""
    return u.is_cuda and A.dtype == torch.float32 and u.dtype != torch.float64


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None,
                   delta_softplus: bool = True) -> Tensor:
    """The output y (B, L, D); mamba-ssm works channels first, so tensors are transposed in and out."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    def steps_last(x):
        return None if x is None else x.transpose(1, 2).contiguous()

    y = selective_scan_fn(steps_last(u), steps_last(delta), A, steps_last(B), steps_last(C), D,
                          z=steps_last(z), delta_bias=delta_bias, delta_softplus=delta_softplus)
    return y.transpose(1, 2)
