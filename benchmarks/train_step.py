"""Times a training step beside the same mathematics written out literally, weights shared.

    python -m benchmarks.train_step [--config configs/S5VH/act.py] [--batch 128] [--threads 2] [--repeats 3]
    python -m benchmarks.train_step --items
    python -m benchmarks.train_step --device cuda [--batch 512 --config configs/S5VH/fcv.py]

The literal form is how the S5VH release computes (`benchmarks.literal`). Printed are the largest differences of losses
and gradients in the same run, the medians over interleaved repeats, their ratios, and how far memory rises; no speed
where the forms disagree. With --items each thing that makes the step fast is left out in turn instead: the step without
it beside the step with it. On CUDA the literal form with mamba-ssm's layers comes first where they are installed; ours
is timed in float32, TF32 and bf16, and in bf16 as a graph (`training.graphs`). On a CPU memory is allocated afresh in
every step and its first touch is slow: compare runs under one allocator setting only (it is printed).
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.literal import Literal, LiteralWithMambaSsm
from benchmarks.side_by_side import CLOCKS, make, parse, print_memory, report, step_in, take_turns
from dataset.batches import Batch
from model.kernels import conv as causal_conv
from model.kernels.scan import explain, mamba_ssm
from model.methods.s5vh.method import Method, Views
from model.mixers.mamba import Mixer
from model.nets.autoencoder import Encoder, take_frames
from model.nets.blocks import BidirectionalBlock
from optim import build_optimizer
from training.graphs import WARM_UP, GraphedPasses
from training.steps import training_step
from utils.cli import run_script
from utils.errors import UserError

TOLERANCES = {"losses": 1e-5, "gradients": 1e-4}


def main() -> None:
    def add(parser):
        parser.add_argument("--items", action="store_true", help="leave out in turn what makes the step fast")
        parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))

    args, config = parse(__doc__, add)
    if args.device == "cuda":
        time_on_cuda(config, args.repeats)
        return
    model, batch = make(config)
    clock = CLOCKS[args.cpu_time]
    optimizer, plain = make_optimizers(model)
    if args.items:
        leave_out_in_turn(model, optimizer, batch, args.repeats, clock)
        return
    literal: Any = Literal(model)
    compare(model, literal, batch)
    forms = {"literal": lambda: training_step(literal, plain, batch, step_in(0)),
             "float32": lambda: training_step(model, optimizer, batch, step_in(0)),
             "bf16": lambda: training_step(model, optimizer, batch, step_in(0), amp="bf16")}
    report("training step", args.repeats, forms, clock)
    print_memory("extra memory", forms)


def time_on_cuda(config, repeats: int) -> None:
    """The same on CUDA, every form after three steps as warm-up.

    Raises:
        UserError: there is no CUDA device.
    """
    if not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here. Leave it out to time the step on the CPU.")
    model, batch = make(config, "cuda")
    print(f"{torch.cuda.get_device_name()}; {explain(config.scan_engine, torch.device('cuda'))}", flush=True)
    optimizer, plain = make_optimizers(model)
    literals = {"literal": Literal(model)}
    if (reason := mamba_ssm.unavailable()) is None:
        literals = {"literal, mamba-ssm": LiteralWithMambaSsm(model)} | literals
    else:
        print(f"the literal form has no layers of mamba-ssm: {reason}", flush=True)
    for literal in literals.values():
        compare(model, literal, batch)
    graphed = GraphedPasses(lambda line: print(line, flush=True))

    def timed(precision: str, method, its_optimizer, **options: Any) -> Callable[[], None]:
        def run() -> None:
            torch.backends.cuda.matmul.fp32_precision = precision
            training_step(method, its_optimizer, batch, step_in(0), **options)
            torch.cuda.synchronize()

        for _ in range(WARM_UP):
            run()
        return run

    forms = {name: timed("ieee", literal, plain) for name, literal in literals.items()}
    forms |= {"float32": timed("ieee", model, optimizer), "TF32": timed("tf32", model, optimizer),
              "bf16": timed("ieee", model, optimizer, amp="bf16"),
              "bf16, graph": timed("ieee", model, optimizer, amp="bf16", passes=graphed)}
    report("training step", repeats, forms)
    print_memory("extra memory", forms)


def make_optimizers(model) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """The one that training takes, and the literal form's, a loop over the parameters."""
    config = model.config
    settings = {"lr": config.lr, "weight_decay": config.weight_decay}
    return (build_optimizer(config.optimizer_name, model.parameters(), **settings),
            torch.optim.AdamW(model.parameters(), **settings, foreach=False))


def compare(model, literal: Literal, batch: Batch) -> None:
    """Prints how far losses and gradients of the two forms are apart.

    Raises:
        SystemExit: further than round-off takes them.
    """
    (theirs, their_gradients), (ours, our_gradients) = (losses_and_gradients(model, form, batch)
                                                        for form in (literal, model))
    scale = max(gradient.abs().max() for gradient in their_gradients)
    apart = {"losses": max(abs(ours[name] / theirs[name] - 1) for name in theirs),
             "gradients": max(((mine - other).abs().max() / other.abs().max().clamp(min=1e-4 * scale)).item()
                              for mine, other in zip(our_gradients, their_gradients, strict=True))}
    print("largest relative difference: " + ", ".join(f"{what} {value:.1e}" for what, value in apart.items()),
          flush=True)
    if any(not value <= TOLERANCES[what] for what, value in apart.items()):
        raise SystemExit("the two forms disagree: no speed is worth printing")


def losses_and_gradients(model, form, batch: Batch) -> tuple[dict[str, float], list[Tensor]]:
    model.zero_grad(set_to_none=True)
    losses = form.losses(batch, step_in(0))
    losses["total"].backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    model.zero_grad(set_to_none=True)
    return {name: value.item() for name, value in losses.items()}, gradients


def leave_out_in_turn(model, optimizer, batch: Batch, repeats: int, clock: Callable[[], float]) -> None:
    """Prints for every item how many times as long the step takes without it, and the largest change of a loss.

    Raises:
        SystemExit: the step without an item computes something else.
    """
    plain = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, foreach=False)
    for group in optimizer.param_groups:
        group.update(lr=0.0, weight_decay=0.0)  # all steps from the same weights
    later = model.config.warm_up_epoch  # the first epoch whose step moves the pseudo-labels too
    steps = {name: (without, optimizer, 0) for name, without in ITEMS.items()}
    steps["fused AdamW"] = (nothing, plain, 0)
    steps["labels from the views' embedding"] = (two_embeddings, optimizer, later)
    for name, (without, its_optimizer, epoch) in steps.items():
        def left_out(without=without, its_optimizer=its_optimizer, epoch=epoch):
            with without(model):
                return training_step(model, its_optimizer, batch, step_in(epoch))

        def complete(epoch=epoch):
            return training_step(model, optimizer, batch, step_in(epoch))

        theirs, ours = left_out(), complete()
        change = max(abs(theirs[key].item() / ours[key].item() - 1) for key in ours)
        if not change <= TOLERANCES["losses"] * (100 if epoch else 1):  # labels have moved between the two
            raise SystemExit(f"{name}: without it a loss changes by {change:.1e}")
        times = take_turns({"without": left_out, "with": complete}, repeats, clock)
        ratio = statistics.median(a / b for a, b in zip(times["without"], times["with"], strict=True))
        print(f"{name:<34} {ratio:5.2f}x   ({statistics.median(times['without']):.2f} without, "
              f"{statistics.median(times['with']):.2f} with; losses within {change:.0e})", flush=True)


def nothing(model) -> AbstractContextManager:
    return patch.object(model, "unchanged", None, create=True)


def views_apart(model) -> AbstractContextManager:
    """Each view through encoder and decoder on its own."""
    def views(self, features, masks, uniforms=None, tokens=None) -> Views:
        each = [Method_views(self, features, masks[:, v:v + 1], None if uniforms is None else uniforms[:, v:v + 1])
                for v in range(masks.shape[1])]
        return Views(*(torch.cat(parts) for parts in zip(*each, strict=True)))

    return patch.object(Method, "views", views)


def directions_apart(model) -> AbstractContextManager:
    """Each direction on its own, with flips and an output projection each."""
    return patch.object(Mixer, "both_directions", lambda self, ahead, back: self(ahead) + self(back.flip(1)).flip(1))


def skipped_rows_computed(model) -> AbstractContextManager:
    """Blocks computed for all rows, then multiplied by 0 for those that skip them."""
    def forward(self, x, uniforms=None):
        if uniforms is None or self.drop_rate == 0.0:
            return self._halves(x, 1.0)
        kept = (uniforms >= self.drop_rate).float() / (1.0 - self.drop_rate)
        return x + self._mix(x) * kept[:, None, None]

    return patch.object(BidirectionalBlock, "forward", forward)


def all_frames_embedded(model) -> AbstractContextManager:
    """All frames embedded for each view."""
    def embed_frames(self, x, frames):
        return torch.cat([take_frames(self.embed(x), each) for each in frames.split(len(x))])

    return patch.object(Encoder, "embed_frames", embed_frames)


def two_embeddings(model) -> AbstractContextManager:
    """The pseudo-labels from an embedding of their own."""
    def step_losses(self, batch, step):
        self.before_step(batch, step)
        return self.losses(batch, step)

    return patch.object(Method, "step_losses", step_losses)


@contextmanager
def scan_in_pytorch(model) -> Iterator[None]:
    """The hand-written backward in plain PyTorch in place of the compiled kernel."""
    mixers = [module for module in model.modules() if isinstance(module, Mixer)]
    before = [mixer.scan_engine for mixer in mixers]
    for mixer in mixers:
        mixer.scan_engine = "pytorch"
    yield
    for mixer, engine in zip(mixers, before, strict=True):
        mixer.scan_engine = engine


def conv_in_pytorch(model) -> AbstractContextManager:
    return patch.object(causal_conv, "ENGINES", ())


Method_views = Method.views
ITEMS: dict[str, Callable[[Method], AbstractContextManager]] = {
    "scan in C++": scan_in_pytorch,
    "convolution in C++": conv_in_pytorch,
    "both directions in one call": directions_apart,
    "both views in one call": views_apart,
    "kept rows only": skipped_rows_computed,
    "visible frames embedded, once": all_frames_embedded,
}


if __name__ == "__main__":
    run_script(main)
