"""What a config's model costs: parameters, floating-point operations and activation memory, without any data.

Operations are those that torch dispatches while the model's own code runs, memory is what autograd saves. So a new
method or mixer needs no formula.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from dataset.batches import Batch
from dataset.views import EpochDraws
from model import build_model
from model.contract import HashingMethod, Step
from model.costs.flops import count_flops
from model.kernels.scan import ENGINES
from utils.config import Config

SIZES = 2, 4  # videos of the batches that are run; losses compare videos, so one is too few


@dataclass(frozen=True)
class Summary:
    """The costs of a model. "Per video" is what one more video adds to a batch, so that work on the weights alone,
    done once for them all, is not in it.
    """

    parts: Mapping[str, int]
    """Trainable parameters of the method's children, those with named children divided once more. A parameter in
    two places counts once; frozen ones and buffers do not."""
    encode_flops: int
    """Per item of `item_shape`: (T, F) of a video."""
    step_flops: int
    """Per video: the losses of all views and their backward pass, where no block is skipped (stochastic depth
    saves some). `before_step` and the optimiser are left out."""
    saved_bytes_per_video: int
    saved_bytes: int
    """Kept from the forward for the backward pass of a batch, less features, parameters and buffers."""
    item_shape: tuple[int, ...]
    batch_size: int

    @property
    def num_parameters(self) -> int:
        return sum(self.parts.values())

    def as_text(self) -> str:
        """A table of the parts and a line per cost, ending in a newline."""
        table = {name: _scaled(count) for name, count in {**self.parts, "total": self.num_parameters}.items()}
        costs = {
            "encode": f"{_scaled(self.encode_flops, 'FLOP')} per " + (
                f"video of {self.item_shape[0]} frames" if len(self.item_shape) == 2 else "picture"),
            "training step": f"{_scaled(self.step_flops, 'FLOP')} per video (forward and backward)",
            "activations": f"{_scaled(self.saved_bytes_per_video, 'iB', 1024)} per video, "
                           f"{_scaled(self.saved_bytes, 'iB', 1024)} for a batch of {self.batch_size} "
                           "(kept for the backward pass)",
        }
        left = max(map(len, [*table, *costs]))
        right = max(map(len, ["parameters", *table.values()]))
        rows = [f"{name:{left}}  {count:>{right}}" for name, count in {"part": "parameters", **table}.items()]
        lines = [f"{name:{left}}  {cost}" for name, cost in costs.items()]
        return "\n".join([*map(str.rstrip, rows), "", *lines]) + "\n"


def summarise(config) -> Summary:
    """The costs of a config's model, from its own code run on random features; leaves torch's CPU generator as it was.

    Operations are counted with the readable scan, in which all of them are visible. Memory is measured on the CPU
    with the config's precision and scan engine (`auto` in place of one that needs CUDA). Two small batches give
    the cost of a video; what grows with the square of the batch (similarities within it) is far smaller.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _model(config, "reference")
        parts = _parts(model)
        encode, step = ([count_flops(call, model, batch) for batch in _batches(config, model)]
                        for call in (_encode, _step))
        model = _model(config, _engine_on_cpu(getattr(config, "scan_engine", "auto")))
        saved = [_saved_bytes(model, batch, config.amp) for batch in _batches(config, model)]
    saved_bytes = saved[0] + _per_video(saved) * (config.batch_size - SIZES[0])
    return Summary(parts, _per_video(encode), _per_video(step), _per_video(saved), saved_bytes,
                   tuple(config.item_shape), config.batch_size)


def encode_flops(config) -> int:
    """Floating-point operations of encoding one video of `config`, as `summarise` counts them."""
    with torch.random.fork_rng(devices=[]):
        model = _model(config, "reference")
        return _per_video([count_flops(_encode, model, batch) for batch in _batches(config, model)])


def _model(config, scan_engine: str) -> HashingMethod:
    return build_model(Config({**config, "scan_engine": scan_engine}), num_videos=max(SIZES))


def _engine_on_cpu(name: str) -> str:
    probe = torch.empty(1, 1, 1)
    supports = getattr(ENGINES.get(name), "supports", None)
    return name if supports is None or supports(probe, probe[0]) else "auto"


def _per_video(costs: list[int]) -> int:
    return (costs[1] - costs[0]) // (SIZES[1] - SIZES[0])


def _batches(config, model: HashingMethod) -> Iterator[Batch]:
    return (_batch(config, model, size) for size in SIZES)


def _batch(config, model: HashingMethod, size: int) -> Batch:
    draws = EpochDraws(config.seed, 0, size, model.draws())
    return random_batch(config, draws, torch.Generator().manual_seed(config.seed), uniform=1.0)  # no block is skipped


def random_batch(config, draws: EpochDraws, generator: torch.Generator, uniform: float | None = None) -> Batch:
    """A batch of random items of the shape that a config says, all that `draws` are for; without labels.

    `uniform`: a value in place of every uniform that is drawn.
    """
    index, uniforms = torch.arange(draws.num_videos), draws.uniforms(torch.arange(draws.num_videos))
    return Batch(index, random_items(config.item_shape, draws.num_videos, generator), draws.masks(index),
                 uniforms if uniform is None else torch.full_like(uniforms, uniform))


def random_items(item_shape: Sequence[int], num_items: int, generator: torch.Generator | None = None) -> Tensor:
    """(num_items, *item_shape): videos of normal features, or pictures of uint8."""
    shape = (num_items, *item_shape)
    return (torch.randn(shape, generator=generator) if len(item_shape) == 2
            else torch.randint(256, shape, dtype=torch.uint8, generator=generator))


def _parts(model: HashingMethod) -> Counter[str]:
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            child, *inner = name.split(".")
            divided = len(inner) > 1 and not inner[0].isdigit()
            parts[f"{child}.{inner[0]}" if divided else child] += parameter.numel()
    return parts


@torch.no_grad()
def _encode(model: HashingMethod, batch: Batch) -> Tensor:
    return model.eval().encode(batch.items)


def _step(model: HashingMethod, batch: Batch) -> None:
    model.zero_grad()
    _losses(model, batch)["total"].backward()


def _losses(model: HashingMethod, batch: Batch) -> Mapping[str, Tensor]:
    return model.train().losses(batch, Step(0, 1, torch.tensor(0), 1))


def _saved_bytes(model: HashingMethod, batch: Batch, amp: str) -> int:
    given = {_address(x) for x in (*model.parameters(), *model.buffers(), *vars(batch).values())
             if isinstance(x, Tensor)}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(x: Tensor) -> Tensor:
        if _address(x) not in given:
            kept[_address(x)] = x.untyped_storage()  # held, so that no other tensor gets its address
        return x

    with saved_tensors_hooks(keep, lambda x: x), torch.autocast("cpu", torch.bfloat16, enabled=amp == "bf16"):
        _losses(model, batch)
    return sum(storage.nbytes() for storage in kept.values())


def _address(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def _scaled(value: float, unit: str = "", base: int = 1000) -> str:
    """`value` with a prefix, to two decimals where there is one."""
    prefixes = iter(" kMGTPE")
    prefix = next(prefixes)
    while value >= base:
        value, prefix = value / base, next(prefixes)
    return f"{value:.{0 if prefix == ' ' else 2}f} {prefix}{unit}"
