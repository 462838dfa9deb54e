"""The same mathematics as S5VH's, written out as the release computes it, on the parameters of a model of ours.

Each view and direction on its own, all frames embedded for each view, time flipped by copying, boolean masks, blocks
computed for the rows that skip them, and Mamba with tensors laid out as mamba-ssm lays them without its kernels:
channels first, the scan a loop over tensors (B, D, L, N).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.scan import loop_over_steps
from dataset.batches import Batch
from model.contract import Step
from model.nets.autoencoder import binarize_down


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
        return binarize_down(self.model.ln(self.model.binary(encoder.head(encoder.norm(tokens)))))

    def block(self, block, x: Tensor, uniforms: Tensor | None) -> Tensor:
        mixed = self.mamba(block.mamba1, block.norm1(x)) + self.mamba(block.mamba1, block.norm2(x.flip(1))).flip(1)
        if uniforms is not None and block.drop_rate > 0:
            mixed = mixed * ((uniforms >= block.drop_rate).float() / (1 - block.drop_rate))[:, None, None]
        return x + mixed

    def mamba(self, layer, x: Tensor) -> Tensor:
        num_rows, length, _ = x.shape

        def channels_first(matrix: Tensor) -> Tensor:  # (E, B L) as (B, E, L), nothing copied
            return matrix.view(-1, num_rows, length).transpose(0, 1)

        u, z = channels_first(layer.in_proj.weight @ x.flatten(0, 1).t()).chunk(2, dim=1)
        u = F.conv1d(u, layer.conv1d.weight, layer.conv1d.bias, padding=3, groups=u.shape[1])
        u = F.silu(u[..., :length])
        dt, B, C = layer.x_proj(u.transpose(1, 2).flatten(0, 1)).split(layer.sizes, dim=-1)
        B, C = (each.unflatten(0, (num_rows, length)).transpose(1, 2).contiguous() for each in (B, C))
        dt = F.softplus(channels_first(layer.dt_proj.weight @ dt.t()) + layer.dt_proj.bias[:, None])
        y = loop_over_steps(u, dt, -torch.exp(layer.A_log), B, C, layer.D, z)
        return layer.out_proj(y.transpose(1, 2))

    def step_losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """The losses of a step before the warm-up's end: the pseudo-labels stand still."""
        return self.losses(batch, step)

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        model, config = self.model, self.model.config
        reconstruction = center = torch.zeros((), device=batch.items.device)
        codes = []
        for view in range(2):
            assert batch.masks is not None
            assert batch.uniforms is not None
            hidden = batch.masks[:, view]
            num_videos, num_frames = hidden.shape
            tokens = model.encoder.patch_embed(batch.items) + model.encoder.positions[:num_frames]
            visible = tokens[~hidden].view(num_videos, -1, tokens.shape[2])
            frame_codes = self.frame_codes(visible, batch.uniforms[:, view])
            predicted = self.decode(frame_codes, hidden)
            reconstruction = reconstruction + F.mse_loss(predicted, batch.items[hidden].view_as(predicted))
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


class LiteralWithMambaSsm(Literal):
    """The same with the kernels of mamba-ssm (CUDA) in Mamba's place, convolution, scan and projections in one call."""

    def mamba(self, layer, x: Tensor) -> Tensor:
        from mamba_ssm.ops.selective_scan_interface import mamba_inner_fn

        projected = (layer.in_proj.weight @ x.flatten(0, 1).t()).view(-1, *x.shape[:2]).transpose(0, 1)
        return mamba_inner_fn(projected, layer.conv1d.weight, layer.conv1d.bias, layer.x_proj.weight,
                              layer.dt_proj.weight, layer.out_proj.weight, None, -torch.exp(layer.A_log), None, None,
                              layer.D, delta_bias=layer.dt_proj.bias, delta_softplus=True)


def contrast(z1: Tensor, z2: Tensor, temperature: float, tau_plus: float) -> Tensor:
    """The debiased contrastive loss by boolean masks (Chuang et al. 2020)."""
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    z, num = torch.cat([z1, z2]), len(z1)
    similarity = torch.exp(z @ z.T / temperature)
    others = ~torch.eye(num, dtype=torch.bool, device=z.device).repeat(2, 2)
    negatives = similarity[others].view(2 * num, -1).sum(1)
    positive = torch.exp((z1 * z2).sum(1) / temperature).repeat(2)
    count = 2 * num - 2
    estimate = (negatives - count * tau_plus * positive) / (1 - tau_plus)
    estimate = estimate.clamp(min=count * torch.exp(torch.tensor(-1 / temperature)).item())
    return -torch.log(positive / (positive + estimate)).mean()
