"""What `train.py --summary` says, against counts by hand."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model import build_model, mixers
from model.contract import HashingMethod
from model.costs.flops import count_flops
from model.costs.summary import summarise
from tests.pipeline import CONFIG, ROOT, run, succeed
from utils.config import load_config

T, FEATURES, D, W, K, C = 6, 8, 32, 16, 8, 4  # of the pipeline's tiny config


@pytest.fixture
def tiny(tmp_path):
    """The path of a config whose data files do not exist."""
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(folder=f"{tmp_path}/", num_frames=T, num_features=FEATURES))
    return path


@pytest.fixture
def running_sum(tmp_path, monkeypatch):
    """The name of a mixer that gives each frame the scaled sum of the frames so far."""
    (tmp_path / "running.py").write_text("""
import torch
from model.contract import SequenceMixer
class Mixer(SequenceMixer):
    name = "running"
    def __init__(self, dim, layer, num_layers, **settings):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(dim))
    def forward(self, x):
        return x.cumsum(1) * self.scale
    @staticmethod
    def settings(config):
        return {}
""")
    monkeypatch.setattr(mixers, "__path__", [*mixers.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "model.mixers.running", raising=False)
    return "running"


def forward_and_backward(module, *inputs):
    weights = module.parameters() if isinstance(module, nn.Module) else ()
    leaves = [x for x in (*inputs, *weights) if x.requires_grad]

    def forward():
        y = module(*inputs)
        return y[0] if isinstance(y, tuple) else y

    gradient = torch.ones_like(forward())
    alone = count_flops(forward)
    return alone, count_flops(lambda: torch.autograd.grad(forward(), leaves, gradient)) - alone


def test_linear():
    """Backward: one product for the weight, one for the input, and a sum over rows for the bias."""
    x = torch.randn(7, 5, requires_grad=True)
    assert forward_and_backward(nn.Linear(5, 3), x) == (2 * 7 * 5 * 3, 2 * 2 * 7 * 5 * 3 + 7 * 3)
    assert forward_and_backward(nn.Linear(5, 3), x.detach()) == (2 * 7 * 5 * 3, 2 * 7 * 5 * 3 + 7 * 3)


def test_products_with_vectors_and_batches():
    a, v = torch.randn(4, 5), torch.randn(5)
    assert count_flops(lambda: a @ v) == 2 * 4 * 5
    assert count_flops(lambda: torch.addmv(torch.ones(4), a, v)) == 2 * 4 * 5
    assert count_flops(lambda: v @ v) == 2 * 5
    assert count_flops(lambda: torch.einsum("bij,bjk->bik", torch.ones(3, 4, 5), torch.ones(3, 5, 2))) == 3 * 2 * 40


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_convolution(groups):
    x = torch.randn(2, 6, 10, requires_grad=True)
    products = 2 * 2 * 8 * 12 * (6 // groups) * 3  # two per tap of each of 8 x 12 outputs of 2 rows
    assert forward_and_backward(nn.Conv1d(6, 12, 3, groups=groups, bias=False), x) == (products, 2 * products)
    transposed = nn.ConvTranspose1d(6, 12, 3, groups=groups, bias=False)
    products = 2 * 2 * 10 * 6 * (12 // groups) * 3  # of each of 10 x 6 inputs
    assert forward_and_backward(transposed, x) == (products, 2 * products)


def test_elementwise_operations_reductions_and_moves():
    x, row, integers = torch.rand(4, 5), torch.rand(5), torch.arange(20).view(4, 5)
    assert count_flops(lambda: x * row) == 20  # the output is larger than either may be
    assert count_flops(lambda: torch.ones(4, 1) * row) == 20
    assert count_flops(lambda: x.sum(0)) == 20  # the input is larger
    assert count_flops(lambda: x.clone().exp_()) == 20
    assert count_flops(lambda: x.softmax(1)) == 20
    assert count_flops(lambda: F.layer_norm(x, (5,))) == 20
    assert count_flops(lambda: x[1:3].add_(1)) == 10
    for move in (lambda: x.t().contiguous().view(2, 10), lambda: torch.cat([x, x.flip(0)]), lambda: x[:, [0, 2]],
                 lambda: x.double(), lambda: torch.zeros(3), lambda: torch.rand(3), lambda: torch.empty(3).normal_(),
                 lambda: integers + integers, lambda: integers.argsort(), lambda: x.new_zeros(3),
                 lambda: x.gather(0, integers % 4), lambda: torch.where(integers > 3, x, row)):
        assert count_flops(move) == 0


def lstm_step(inputs, hidden):
    """Four gates: products with input and state, the input's bias, a sum, an activation. Then c and h: five passes."""
    return 4 * hidden * (2 * (inputs + hidden) + 3) + 5 * hidden


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_lstm_forward(mode):
    lstm, x = nn.LSTM(5, 7, batch_first=True), torch.randn(3, 6, 5)
    with mode():
        assert count_flops(lambda: lstm(x)) == 3 * 6 * lstm_step(5, 7)
    assert torch.backends.mkldnn.enabled == torch.backends.mkldnn.is_available()


def test_lstm_backward():
    """Twice the forward's products, but none for the input and for the first state, which need no gradient; and the
    gradients of the recurrent weight, one of each step, added up."""
    forward, backward = forward_and_backward(nn.LSTM(50, 70, batch_first=True), torch.randn(3, 6, 50))
    with_input, with_state = (3 * 6 * 2 * 4 * 70 * size for size in (50, 70))
    assert forward == pytest.approx(with_input + with_state, rel=0.05)
    assert backward == pytest.approx(with_input + with_state * (1 + 5 / 6) + 5 * 4 * 70 * 70, rel=0.02)


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal):
    """Two products forward, q k' and p v; five backward, the scores once more and a pair for each."""
    q, k, v = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3))
    product = 2 * (2 * 3) * 5 * 5 * 4
    attention = F.scaled_dot_product_attention
    assert forward_and_backward(lambda *x: attention(*x, is_causal=causal), q, k, v) == (2 * product, 5 * product)


@torch.no_grad()
def test_no_fused_layer_hides_its_products():
    """In eval mode without gradients torch would run each of these as a single kernel."""
    x = torch.randn(2, 5, 8)
    attention = 4 * 2 * 10 * 8 * 8 + 2 * 2 * (2 * 5 * 5 * 8)  # four projections of 10 rows; two products of 2 videos
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    elementwise = 3 * 80 + 2 * 80 + 2 * 80 + 160  # biases of q, k and v; residuals; norms; ReLU
    assert count_flops(lambda: layer(x)) == attention + 2 * (2 * 10 * 8 * 16) + elementwise
    with torch.inference_mode():
        assert count_flops(lambda: F.linear(x, torch.ones(3, 8))) == 2 * 10 * 8 * 3


def test_parameters_of_each_part(tiny):
    summary = summarise(load_config(tiny))

    def mamba(dim, inner, rank, states=16, taps=4):
        return (dim * 2 * inner + inner * (taps + 1) + inner * (rank + 2 * states) + (rank + 1) * inner
                + inner * states + inner + inner * dim)

    assert dict(summary.parts) == {
        "mask_token": W, "encoder.patch_embed": FEATURES * D + D, "encoder.blocks": mamba(D, 2 * D, 2) + 4 * D,
        "encoder.norm": 2 * D, "encoder.head": D * D + D, "binary": D * K + K, "ln": 2 * K,
        "encoder_to_decoder": K * W, "decoder.blocks": mamba(W, 2 * W, 1) + 4 * W, "decoder.norm": 2 * W,
        "decoder.head": W * FEATURES + FEATURES}
    assert summary.num_parameters == sum(x.numel() for x in build_model(load_config(tiny)).parameters())


def test_a_mixer_never_seen_before(tiny, running_sum):
    """Encoding by hand. A block: two norms, a sum and a scale for each direction, their sum and the residual."""
    summary = summarise(load_config(tiny, {"mixer": running_sum, "directions": "separate"}))
    assert summary.parts["encoder.blocks"] == 2 * D + 4 * D
    products = 2 * T * (FEATURES * D + D * D + D * K)
    block = (2 + 2 * 2 + 1 + 1) * T * D
    rest = 2 * T * D + T * K + 13 * T * K + T * K  # positions and norm; norm of the bits, their binarization and mean
    ties = T * K + 3 * K  # the mean pre-activation; clamp, scale, compare
    assert summary.encode_flops == products + block + rest + ties


def test_tied_directions_share_parameters_and_the_output_projection(tiny):
    tied, separate, forward = (summarise(load_config(tiny, {"directions": directions}))
                               for directions in ("tied", "separate", "forward"))
    mixers_of = {name: separate.parts[name] - tied.parts[name] for name in tied.parts}
    assert [name for name, extra in mixers_of.items() if extra] == ["encoder.blocks", "decoder.blocks"]
    assert 0.8 * separate.encode_flops < tied.encode_flops < separate.encode_flops
    assert 0.8 * separate.step_flops < tied.step_flops < separate.step_flops
    assert forward.step_flops < 0.65 * tied.step_flops


@pytest.mark.parametrize("amp", ["none", "bf16"])
def test_memory_grows_on_a_straight_line(tiny, monkeypatch, amp):
    """What two and four videos say of 32, against 32; in float32 next to nothing is kept once a batch."""
    config = load_config(tiny, {"scan_engine": "pytorch", "amp": amp, "batch_size": 32})
    extended = summarise(config)
    monkeypatch.setattr("model.costs.summary.SIZES", (30, 32))
    assert extended.saved_bytes == pytest.approx(summarise(config).saved_bytes, rel=0.02)
    if amp == "none":
        assert extended.saved_bytes == pytest.approx(32 * extended.saved_bytes_per_video, rel=0.01)


class Toy(HashingMethod):
    """The mean over frames of a linear layer; the loss keeps the layer's output for sin and, once, for tanh."""

    def __init__(self, config, num_videos):
        super().__init__()
        self.layer, self.frozen = nn.Linear(config.feature_size, 3), nn.Linear(2, 2).requires_grad_(False)
        self.twin = self.layer
        self.register_buffer("table", torch.zeros(9))

    def encode(self, x):
        return self.layer(x).sum(1)

    def losses(self, batch, epoch):
        h = self.layer(batch.items)
        return {"total": (h.sin() + h.tanh() * batch.items[..., :3]).sum()}


def test_a_method_by_hand(tiny, monkeypatch):
    monkeypatch.setattr("model.costs.summary.build_model", Toy)
    summary = summarise(load_config(tiny))
    assert dict(summary.parts) == {"layer": 3 * FEATURES + 3}
    product, entries = 2 * T * FEATURES * 3, T * 3
    assert summary.encode_flops == product + entries
    forward = product + entries * (2 + 2 + 1)  # sin, tanh; times, plus; the sum
    backward = entries * (2 + 2 + 1) + product + entries  # through times and tanh, sin and cos, both; the layer
    assert summary.step_flops == forward + backward
    assert summary.saved_bytes_per_video == 2 * entries * 4
    assert summary.saved_bytes == 16 * 2 * entries * 4


@pytest.mark.parametrize("engine", ["auto", "mamba_ssm"])
def test_an_engine_for_cuda_is_no_obstacle(tiny, engine):
    assert summarise(load_config(tiny, {"scan_engine": engine})).saved_bytes > 0


def test_the_generator_is_left_alone(tiny):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = summarise(load_config(tiny))
    assert torch.equal(torch.rand(3), expected)
    assert summarise(load_config(tiny)) == first


def test_the_script_needs_no_data_and_writes_nothing(tiny):
    before = sorted(tiny.parent.rglob("*"))
    result = succeed("train.py", "--config", tiny, "--summary")
    *lines, last = result.output.splitlines()
    assert last.startswith("next: python ")
    assert last.endswith(f"train.py --config {tiny} --dry-run")
    assert lines[0].split() == ["part", "parameters"]
    assert [line.split()[0] for line in lines[-3:]] == ["encode", "training", "activations"]
    assert ["binary", "264"] in [line.split() for line in lines]
    assert lines[-4] == ""
    assert "for a batch of 16" in lines[-1]
    assert sorted(tiny.parent.rglob("*")) == before
    assert run("train.py", "--config", tiny).code == 2  # without the flag the missing data is an error


def test_costs_of_a_published_config():
    """ActivityNet, small model, 30 frames of 15 in a view: products by hand, and some per cent for all else."""
    summary = summarise(load_config(ROOT / "configs/S5VH/act.py"))
    # Multiply-adds of a frame, in both directions; the output projection is done once for their sum.
    encoder_block, decoder_block = 2 * 425_984 - 512 * 256, 2 * 242_688 - 384 * 192
    embed, head, bits = 2048 * 256, 256 * 256, 256 * 64
    products = 2 * 30 * (embed + 6 * encoder_block + head + bits)
    assert products < summary.encode_flops < 1.1 * products
    trained = 6 * encoder_block + head + bits + 64 * 192 + 192 * 2048  # 2 views x 15 visible or 15 hidden frames
    products = 2 * 30 * (3 * (trained + 2 * decoder_block) + 2 * embed)  # features need no gradient
    assert products < summary.step_flops < 1.1 * products
