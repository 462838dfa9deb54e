"""Times a training step and encoding beside the same mathematics written out literally, weights shared.

    python -m benchmarks.train_step [--config configs/S5VH/act.py] [--batch 128] [--threads 2] [--repeats 3]

The literal form is how the S5VH release computes: each view and direction on its own, all frames embedded for each
view, time flipped by copying, boolean masks, the scan as a loop over (B, D, L, N) tensors, blocks computed for the
rows that skip them, AdamW tensor by tensor. Printed are the largest differences of losses, gradients and bits in
the same run, the medians over interleaved repeats and their ratios. Memory is allocated afresh in every step and its
first touch is slow: compare runs under one allocator setting only (it is printed).
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.scan import channel_first_loop
from dataset.batches import Batch
from dataset.views import EpochDraws
from model import build_model
from model.autoencoder import binarise
from model.contract import HashingMethod
from optim import build_optimizer, training_step
from utils.cli import run_script
from utils.config import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/S5VH/act.py", help="any config on the mamba mixer")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = load_config(args.config, {"batch_size": args.batch, "directions": "tied"})
    print(f"torch {torch.__version__}, {args.threads} threads, {torch.backends.cpu.get_cpu_capability()}; "
          f"GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')!r} "
          f"THP_MEM_ALLOC_ENABLE={os.environ.get('THP_MEM_ALLOC_ENABLE', '')!r}")
    print(f"{args.config}: {config.S5VH_type}, batch {args.batch}, {config.max_frames} x {config.feature_size}, "
          f"mask {config.mask_ratio}, median of {args.repeats}, seconds", flush=True)
    model, batch = make(config)
    literal = Literal(model)
    compare(model, literal, batch)
    optimizer = build_optimizer(config.optimizer_name, model.parameters(), config.lr, config.weight_decay)
    plain = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, foreach=False)
    report("training step", args.repeats, {
        "literal": lambda: training_step(literal, plain, batch, 0),
        "float32": lambda: training_step(model, optimizer, batch, 0),
        "bf16": lambda: training_step(model, optimizer, batch, 0, amp="bf16")})
    with torch.inference_mode():
        report("encoding", args.repeats, {
            "literal": lambda: literal.encode(batch.features),
            "float32": lambda: model.encode(batch.features),
            "bf16": lambda: under_bf16(model, batch.features)})


def make(config) -> tuple[HashingMethod, Batch]:
    """The config's model and a batch of random features."""
    torch.manual_seed(config.seed)
    num_videos = config.batch_size
    centers = torch.where(torch.rand(config.nclusters, config.nbits) < 0.5, -1, 1).to(torch.int8)
    model = build_model(config, num_videos, pseudo_labels=torch.arange(num_videos) % config.nclusters,
                        hash_centers=centers).train()
    draws = EpochDraws(config.seed, 0, num_videos, config.max_frames, config.mask_ratio, model.num_uniforms)
    index = torch.arange(num_videos)
    features = torch.randn(num_videos, config.max_frames, config.feature_size)
    return model, Batch(index, features, draws.masks(index), draws.uniforms(index))


class Literal:
    """S5VH's step on a model's own parameters, view by view and direction by direction."""

    def __init__(self, model):
        self.model = model

    def encode(self, x: Tensor) -> Tensor:
        model = self.model
        tokens = model.encoder.patch_embed(x) + model.encoder.positions[: x.shape[1]]
        return self.frame_codes(tokens, None).mean(1)

    def frame_codes(self, tokens: Tensor, uniforms: Tensor | None) -> Tensor:
        encoder = self.model.encoder
        for layer, block in enumerate(encoder.blocks):
            tokens = self.block(block, tokens, None if uniforms is None else uniforms[:, layer])
        return binarise(self.model.ln(self.model.binary(encoder.head(encoder.norm(tokens)))))

    def block(self, block, x: Tensor, uniforms: Tensor | None) -> Tensor:
        mixed = self.mamba(block.mamba1, block.norm1(x)) + self.mamba(block.mamba1, block.norm2(x.flip(1))).flip(1)
        if uniforms is not None and block.drop_rate > 0:
            mixed = mixed * ((uniforms >= block.drop_rate).float() / (1 - block.drop_rate))[:, None, None]
        return x + mixed

    def mamba(self, layer, x: Tensor) -> Tensor:
        u, z = layer.in_proj(x).chunk(2, dim=-1)
        length = x.shape[1]
        u = F.conv1d(u.transpose(1, 2), layer.conv1d.weight, layer.conv1d.bias, padding=3, groups=u.shape[2])
        u = F.silu(u[..., :length]).transpose(1, 2)
        dt, B, C = layer.x_proj(u).split(layer.sizes, dim=-1)
        y = channel_first_loop(u, F.linear(dt, layer.dt_proj.weight), -torch.exp(layer.A_log), B, C, layer.D, z,
                               layer.dt_proj.bias)
        return layer.out_proj(y)

    def step_losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The losses of a step before the warm-up's end: the pseudo-labels stand still."""
        return self.losses(batch, epoch)

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        model, config = self.model, self.model.config
        reconstruction = center = torch.zeros(())
        codes = []
        for view in range(2):
            hidden = batch.masks[:, view]
            num_videos, num_frames = hidden.shape
            tokens = model.encoder.patch_embed(batch.features) + model.encoder.positions[:num_frames]
            visible = tokens[~hidden].view(num_videos, -1, tokens.shape[2])
            frame_codes = self.frame_codes(visible, batch.uniforms[:, view])
            predicted = self.decode(frame_codes, hidden)
            reconstruction = reconstruction + F.mse_loss(predicted, batch.features[hidden].view_as(predicted))
            codes.append(frame_codes.mean(1))
            logits = codes[-1] @ model.hash_centers.float().T / (config.nbits * config.temperature_cluster)
            labels = model.pseudo_labels[batch.index]
            center = center - (labels * logits.log_softmax(1)).sum(1).mean() / 2
        contrastive = contrast(codes[0], codes[1], config.temperature, config.tau_plus)
        total = reconstruction + config.alpha * contrastive + config.a_cluster * center
        return {"total": total, "reconstruction": reconstruction, "contrastive": contrastive, "center": center}

    def decode(self, frame_codes: Tensor, hidden: Tensor) -> Tensor:
        model, decoder = self.model, self.model.decoder
        num_videos, num_frames = hidden.shape
        positions = decoder.positions[:num_frames].expand(num_videos, -1, -1)
        seen = model.encoder_to_decoder(frame_codes)
        seen = seen + positions[~hidden].view_as(seen)
        unseen = model.mask_token + positions[hidden].view(num_videos, -1, seen.shape[2])
        x = torch.cat([seen, unseen], dim=1)
        for block in decoder.blocks:
            x = self.block(block, x, None)
        return decoder.head(decoder.norm(x[:, seen.shape[1]:]))

    def parameters(self):
        return self.model.parameters()


def contrast(z1: Tensor, z2: Tensor, temperature: float, tau_plus: float) -> Tensor:
    """The debiased contrastive loss by boolean masks (Chuang et al. 2020)."""
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    z, num = torch.cat([z1, z2]), len(z1)
    similarity = torch.exp(z @ z.T / temperature)
    others = ~torch.eye(num, dtype=torch.bool).repeat(2, 2)
    negatives = similarity[others].view(2 * num, -1).sum(1)
    positive = torch.exp((z1 * z2).sum(1) / temperature).repeat(2)
    count = 2 * num - 2
    estimate = (negatives - count * tau_plus * positive) / (1 - tau_plus)
    estimate = estimate.clamp(min=count * torch.exp(torch.tensor(-1 / temperature)).item())
    return -torch.log(positive / (positive + estimate)).mean()


def compare(model, literal: Literal, batch: Batch) -> None:
    """Prints how far losses, gradients and bits of the two forms are apart."""
    results = []
    for form in (literal, model):
        model.zero_grad(set_to_none=True)
        losses = form.losses(batch, 0)
        losses["total"].backward()
        results.append(({name: value.item() for name, value in losses.items()},
                        [parameter.grad for parameter in model.parameters()]))
    (theirs, their_gradients), (ours, our_gradients) = results
    loss = max(abs(ours[name] / theirs[name] - 1) for name in theirs)
    scale = max(gradient.abs().max() for gradient in their_gradients)
    gradient = max(((mine - other).abs().max() / other.abs().max().clamp(min=1e-4 * scale)).item()
                   for mine, other in zip(our_gradients, their_gradients, strict=True))
    model.zero_grad(set_to_none=True)
    with torch.inference_mode():
        bits = [form.encode(batch.features).sign() for form in (literal, model)]
        in_bf16 = under_bf16(model, batch.features).sign()
    even = bits[0] == 0  # a tie of the frames; the literal form has no bit there
    print(f"largest relative difference: losses {loss:.1e}, gradients {gradient:.1e}; bits that differ "
          f"{int(((bits[0] != bits[1]) & ~even).sum())} of {int((~even).sum())}, "
          f"in bf16 {int(((bits[0] != in_bf16) & ~even).sum())}", flush=True)


def under_bf16(model, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return model.encode(x)


def report(what: str, repeats: int, forms: dict[str, Callable[[], object]]) -> None:
    """Prints the median seconds of every form over interleaved repeats and the median of its gain over the first."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for form in list(forms.values())[1:]:
        form()  # warm up what is quick to
    for _ in range(repeats):
        for name, form in forms.items():
            started = time.perf_counter()
            form()
            times[name].append(time.perf_counter() - started)
    first = next(iter(times.values()))
    cells = []
    for name, each in times.items():
        ratio = statistics.median(a / b for a, b in zip(first, each, strict=True))
        cells.append(f"{name} {statistics.median(each):.2f} ({ratio:.1f}x)")
    print(f"{what:<14} " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    run_script(main)
