"""Optimisers by the names of `torch.optim`, over groups of parameters that differ in rate, decay or optimiser."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from optim.schedules import learning_rate
from utils.errors import UserError

# By name: the class, and what it is given besides a rate and a decay.
OPTIMIZERS: Mapping[str, tuple[Callable[..., torch.optim.Optimizer], Mapping[str, Any]]] = {
    "AdamW": (torch.optim.AdamW, {"fused": True}), "Adam": (torch.optim.Adam, {"fused": True}),
    "RMSprop": (torch.optim.RMSprop, {"foreach": True})}
_MOMENTS: Mapping[type, tuple[str, ...]] = {torch.optim.RMSprop: ("square_avg",)}  # of a parameter; others keep two
SETTINGS = ("optimizer_name", "schedule", "lr", "min_lr", "weight_decay")  # of a group, by the keys of a config


def build_optimizer(name: str, parameters: Iterable[nn.Parameter] | Sequence[dict[str, Any]], lr: float,
                    weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser over `parameters`, or over torch's groups of them, betas (.9, .999), fused if torch can.

    Raises:
        UserError: the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer_name '{name}' is unknown. Choose one of: {', '.join(OPTIMIZERS)}.")
    kind, more = OPTIMIZERS[name]
    return kind(parameters, lr=lr, weight_decay=weight_decay, **more)


class GroupedOptimizer:
    """One optimiser of torch for each `optimizer_name` among the groups, stepped together.

    Args:
        groups: of parameters, each a dict with `params` and any of `SETTINGS`.
        config: has what a group does not say: `SETTINGS` and num_epochs.

    Raises:
        UserError: an optimiser or a schedule is unknown.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], config):
        self._num_epochs = config.num_epochs
        filled = [{name: getattr(config, name) for name in SETTINGS} | dict(group) for group in groups]
        self._optimizers: list[torch.optim.Optimizer] = []
        self._rated: list[tuple[dict, Mapping[str, Any]]] = []  # groups of torch with what sets their rate
        for name in dict.fromkeys(group["optimizer_name"] for group in filled):
            own = [group for group in filled if group["optimizer_name"] == name]
            given = [{"params": list(group["params"]), "lr": group["lr"], "weight_decay": group["weight_decay"]}
                     for group in own]
            optimizer = build_optimizer(name, given, own[0]["lr"], own[0]["weight_decay"])
            self._optimizers.append(optimizer)
            self._rated += zip(optimizer.param_groups, own, strict=True)
        self.begin_epoch(0)

    @property
    def rate(self) -> float:
        """The learning rate of the first group."""
        return self._rated[0][0]["lr"]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Every parameter of the groups."""
        return [parameter for group, _ in self._rated for parameter in group["params"]]

    def begin_epoch(self, epoch: int) -> None:
        """Sets every group's rate for the epoch, from 0."""
        for group, own in self._rated:
            group["lr"] = learning_rate(own["schedule"], epoch, self._num_epochs, own["lr"], own["min_lr"])

    def step(self) -> None:
        """Descends the gradients at hand."""
        for optimizer in self._optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """That of torch's optimiser; of several, theirs in a list under `optimizers`."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        return states[0] if len(states) == 1 else {"optimizers": states}

    def load_state_dict(self, state: Mapping[str, Any], source: str) -> None:
        """Goes on from an earlier `state_dict` of the same groups.

        Raises:
            UserError: it is of other parameters, or damaged; `source` is named.
        """
        try:
            states = state["optimizers"] if len(self._optimizers) > 1 else [state]
            for optimizer, own in zip(self._optimizers, states, strict=True):
                _check_moments(optimizer, own)
                optimizer.load_state_dict(dict(own))
        except Exception as error:  # torch raises nearly anything at a state that is none
            raise UserError(f"{source}: its optimiser state does not fit this model ({' '.join(str(error).split())}). "
                            "Restore the file, or begin anew with --restart.") from error
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]  # new dicts by now
        self._rated = [(group, own) for group, (_, own) in zip(groups, self._rated, strict=True)]


def _check_moments(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Raises ValueError where what is kept per parameter is not of its shape, or not there for all."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if sorted(state["state"]) not in ([], list(range(len(parameters)))):
        raise ValueError("it is not of as many parameters")
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    if numbers != list(range(len(parameters))) or set(map(type, numbers)) != {int}:
        raise ValueError("its groups do not name every parameter once, in order")
    names = _MOMENTS.get(type(optimizer), ("exp_avg", "exp_avg_sq"))
    for number, moments in state["state"].items():
        for name in names:
            own = parameters[number]
            if moments[name].shape != own.shape or not _is_plain(moments[name], own.dtype):
                raise ValueError(f"'{name}' of parameter {number} is {tuple(moments[name].shape)}")
        if moments["step"].numel() != 1 or not _is_plain(moments["step"], torch.float32):
            raise ValueError(f"'step' of parameter {number} is no number")
    for group, ours in zip(state["param_groups"], optimizer.param_groups, strict=True):
        odd = [name for name, value in ours.items() if name != "params" and not _alike(group[name], value)]
        if odd:
            raise ValueError(f"'{odd[0]}' is {group[odd[0]]!r}"[:80])


def _is_plain(value: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether a fused kernel, which trusts what it is given, may have it."""
    return (value.layout == torch.strided and value.dtype == dtype and value.device.type == "cpu"
            and value.is_contiguous() and not value.is_neg() and not value.is_quantized)


def _alike(value: Any, own: Any) -> bool:
    """Whether a setting of an optimiser is of the kind of its own one."""
    if isinstance(own, tuple):
        return isinstance(value, tuple | list) and len(value) == len(own) and all(map(_alike, value, own))
    if own is None or isinstance(own, bool):
        return type(value) is type(own)
    return isinstance(value, int | float) and not isinstance(value, bool)
