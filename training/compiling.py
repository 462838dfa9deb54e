"""`torch.compile` for training steps, where it works."""

import torch


def compile_steps(model, device: torch.device, backend: str = "inductor") -> str:
    """One line for a run's log, after having `model.step_losses` compiled by `torch.compile` at its first calls.

    The C++ and Triton kernels stay what they are: the code between them is compiled. Losses and gradients are those of
    the model as it was to round-off. Where torch cannot compile for `device` (no C++ compiler, no Triton) the model
    is left alone, and the line says so.
    """
    try:
        torch.compile(_probe, backend=backend)(torch.ones(2, device=device))
    except Exception as error:  # torch's compiler, the one it calls and Triton raise what they like
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"compile: torch.compile does not work here ({reason}); steps run without it"
    model.step_losses = torch.compile(model.step_losses, backend=backend)
    return "compile: steps are compiled by torch.compile; the first ones take minutes"


def _probe(x: torch.Tensor) -> torch.Tensor:
    return (2 * x + 1).sum()
