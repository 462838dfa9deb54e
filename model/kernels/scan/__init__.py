"""One function, `selective_scan`, behind which several engines compute the same thing.

| engine | where | what |
|-|-|-|
| `reference` | anywhere | the definition, step by step (ground truth; slow) |
| `pytorch` | anywhere | hand-written backward, chunked, low memory |
| `cpu` | CPU, float32 and bfloat16, with a C++ compiler | vectorised C++, built on first use |
| `numba` | CPU, float32, without a compiler | vectorised loops, compiled on first use and cached |
| `triton` | CUDA, with torch alone | fused and deterministic; has run in its interpreter, on no GPU yet |
| `mamba_ssm` | CUDA, where the mamba-ssm package works | its fused kernel |

`auto` takes the first of `triton`, `mamba_ssm`, `cpu`, `numba` and `pytorch` that works for the tensors at hand, a CUDA
engine only after it agreed with the reference on the device.
"""

from model.kernels.scan.dispatch import ENGINES, explain, selective_scan

__all__ = ["ENGINES", "explain", "selective_scan"]
