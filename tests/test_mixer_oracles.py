"""Every mixer, outputs and gradients, against code that shares nothing with it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.kernels.wkv import LOG_DECAY_FLOOR, wkv_chunked, wkv_recurrent
from model.mixers import lstm, mamba, retnet, rwkv, transformer
from model.mixers.retnet import retention_chunkwise, retention_parallel, retention_recurrent

DIM = 64
LENGTHS = [1, 7, 25, 30, 130]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-7}
# A layer that normalises a nearly silent first frame multiplies the rounding of what came before.
GROUP_NORM_SLACK = {torch.float32: 10, torch.float64: 1}

lengths = pytest.mark.parametrize("length", LENGTHS)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def gradients(function, inputs, weights):
    """The output for `inputs`, then the gradients of its sum under random `weights` with respect to each."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*inputs)
    return [y, *torch.autograd.grad(y, inputs, weights, materialize_grads=True)]


def assert_near(ours, theirs, dtype, slack=1):
    """Largest difference over largest value, tensor by tensor."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype == dtype
        assert mine.shape == other.shape
        scale = other.abs().max().clamp(min=1e-3)
        assert (mine - other).abs().max() / scale < slack * TOLERANCE[dtype]


def compare_layers(ours, theirs, names, length, dtype, their_inputs=lambda x: (x,)):
    """`names`: parameter of ours -> parameter of theirs."""
    torch.manual_seed(length)
    x = torch.randn(3, length, DIM, dtype=dtype)
    weights = torch.randn(3, length, DIM, dtype=dtype)
    ours.to(dtype)
    own, other = dict(ours.named_parameters()), dict(theirs.named_parameters())
    with torch.no_grad():
        for name, their_name in names.items():
            own[name].copy_(torch.randn_like(own[name]) * 0.1 + own[name])
            other[their_name].copy_(own[name])

    def run(layer, parameters, *arguments):
        y = layer(*arguments)
        y = y[0] if isinstance(y, tuple) else y
        return [y, *torch.autograd.grad(y, [arguments[0], *parameters], weights)]

    mine = run(ours, [own[name] for name in names], x.clone().requires_grad_())
    its = run(theirs, [other[name] for name in names.values()], *their_inputs(x.clone().requires_grad_()))
    assert_near(mine, its, dtype)


@lengths
@dtypes
@pytest.mark.parametrize("engine", ["reference", "pytorch", "auto"])
@pytest.mark.filterwarnings("ignore")
def test_mamba_is_the_one_of_transformers(length, dtype, engine, monkeypatch):
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer
    if dtype == torch.float64:  # theirs takes A, B, D and the bias to float32 on the way
        monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    ours = mamba.Mixer(DIM, scan_engine=engine)
    settings = MambaConfig(hidden_size=DIM, state_size=16, conv_kernel=4, expand=2, time_step_rank=4,
                           use_bias=False, use_conv_bias=True, num_hidden_layers=1)
    theirs = MambaMixer(settings, 0).to(dtype)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    compare_layers(ours, theirs, {name: name for name in ours.state_dict()}, length, dtype)


@lengths
@dtypes
def test_attention_is_torchs(length, dtype):
    ours = transformer.Mixer(2 * DIM)  # two heads
    theirs = nn.MultiheadAttention(2 * DIM, ours.num_heads, batch_first=True, dtype=dtype)
    assert ours.num_heads == 2
    names = {"qkv.weight": "in_proj_weight", "qkv.bias": "in_proj_bias",
             "proj.weight": "out_proj.weight", "proj.bias": "out_proj.bias"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "DIM", 2 * DIM)
        compare_layers(ours, theirs, names, length, dtype, lambda x: (x, x, x))


@lengths
@dtypes
def test_lstm_is_its_equations(length, dtype):
    def by_hand(x):
        w_x, w_h, b_x, b_h = layer.parameters()
        h = c = torch.zeros(len(x), DIM, dtype=dtype)
        outputs = []
        for frame in x.unbind(1):
            i, f, g, o = (frame @ w_x.T + b_x + h @ w_h.T + b_h).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, dim=1)

    torch.manual_seed(length)
    layer = lstm.Mixer(DIM).to(dtype)
    x, weights = torch.randn(2, 3, length, DIM, dtype=dtype)
    parameters = list(layer.parameters())

    def run(forward):
        leaf = x.clone().requires_grad_()
        y = forward(leaf)
        return [y, *torch.autograd.grad(y, [leaf, *parameters], weights)]

    assert_near(run(layer), run(by_hand), dtype)


def heads(length, dtype, *widths):
    torch.manual_seed(length)
    return [torch.randn(2, 3, length, width, dtype=dtype) for width in widths]


@lengths
@dtypes
@pytest.mark.parametrize("form", ["recurrent", "chunkwise", "short chunks"])
def test_retention_has_three_forms(length, dtype, form):
    log_gamma = torch.log1p(-(2 ** -torch.linspace(5, 9, 3, dtype=dtype)))
    forms = {"recurrent": lambda q, k, v: retention_recurrent(q, k, v, log_gamma),
             "chunkwise": lambda q, k, v: retention_chunkwise(q, k, v, log_gamma),
             "short chunks": lambda q, k, v: retention_chunkwise(q, k, v, log_gamma, chunk=4)}
    q, k, v, weights = heads(length, dtype, 8, 8, 12, 12)
    parallel = gradients(lambda q, k, v: retention_parallel(q, k, v, log_gamma), [q, k, v], weights)
    assert_near(gradients(forms[form], [q, k, v], weights), parallel, dtype)


@lengths
@dtypes
def test_retnet_is_its_equations(length, dtype):
    """The whole layer by complex numbers and explicit sums over pairs of frames, head by head."""
    torch.manual_seed(length)
    layer = retnet.Mixer(DIM).to(dtype)
    d, e = DIM // 4, DIM // 2
    turn = torch.tensor([10000 ** (-2 * i / d) for i in range(d // 2)], dtype=torch.float64)
    zeta = torch.tensor([(2 * i / d + 0.4) / 1.4 for i in range(d // 2)], dtype=torch.float64)
    distance = torch.arange(length)[:, None] - torch.arange(length)

    def by_hand(x):
        joined = []
        for h, s in enumerate(torch.linspace(5, 9, 4, dtype=torch.float64)):
            q, k = (torch.view_as_complex((x @ w[h * d: (h + 1) * d].T).unflatten(-1, (-1, 2)))
                    for w in (layer.q_proj.weight, layer.k_proj.weight))
            v = x @ layer.v_proj.weight[h * e: (h + 1) * e].T
            factor = (distance[..., None] * (1j * turn + zeta.log() / 512)).exp()
            factor = (factor * ((1 - 2**-s) ** distance * (distance >= 0))[..., None]).to(q.dtype)
            scores = torch.einsum("bni,bmi,nmi->bnm", q, k.conj(), factor).real
            y = scores @ v
            joined.append((y - y.mean(-1, keepdim=True)) / (y.var(-1, correction=0, keepdim=True) + 1e-5).sqrt())
        y = torch.cat(joined, -1) * layer.group_norm.weight + layer.group_norm.bias
        return (F.silu(x @ layer.g_proj.weight.T) * y) @ layer.out_proj.weight.T

    x, weights = torch.randn(2, 2, length, DIM, dtype=dtype)
    assert_near(gradients(layer, [x], weights), gradients(by_hand, [x], weights), dtype, GROUP_NORM_SLACK[dtype])


def scalar_wkv(r, k, v, log_w, u):
    """RWKV-6's operator for one row and one head, in three loops over numbers."""
    r, k, v, log_w, u = r[0, 0], k[0, 0], v[0, 0], log_w[0, 0], u[0]
    length, width = r.shape
    y = [[0.0] * width for _ in range(length)]
    for i in range(width):
        for j in range(width):
            state = 0.0
            for t in range(length):
                pair = k[t, i] * v[t, j]
                y[t][j] = y[t][j] + r[t, i] * (state + u[i] * pair)
                state = log_w[t, i].exp() * state + pair
    return torch.stack([torch.stack(row) for row in y])[None, None]


def wkv_inputs(length, dtype, width, strength):
    torch.manual_seed(length)
    r, k, v = torch.randn(3, 1, 1, length, width, dtype=dtype)
    log_w = -torch.exp(strength * torch.randn(1, 1, length, width, dtype=dtype) - 1).clamp(max=-LOG_DECAY_FLOOR)
    return [r, k, v, log_w, torch.randn(1, width, dtype=dtype)]


@lengths
@dtypes
@pytest.mark.parametrize("strength", [0.5, 3.0], ids=["usual decays", "some that forget at once"])
def test_fast_wkv_is_a_scalar_triple_loop(length, dtype, strength):
    inputs = wkv_inputs(length, dtype, 3, strength)
    weights = torch.randn(1, 1, length, 3, dtype=dtype)
    loops = gradients(scalar_wkv, inputs, weights)
    assert_near(gradients(wkv_chunked, inputs, weights), loops, dtype)
    assert_near(gradients(wkv_recurrent, inputs, weights), loops, dtype)


@lengths
@dtypes
def test_fast_wkv_with_many_heads_is_the_recurrence(length, dtype):
    torch.manual_seed(length)
    r, k, v, noise, weights = torch.randn(5, 2, 3, length, 32, dtype=dtype)
    inputs = [r, k, v, -torch.exp(noise - 1), torch.randn(3, 32, dtype=dtype)]
    assert_near(gradients(wkv_chunked, inputs, weights), gradients(wkv_recurrent, inputs, weights), dtype)


def test_the_strongest_decays_stay_finite():
    r, k, v = torch.randn(3, 1, 1, 33, 4).requires_grad_()
    y = wkv_chunked(r, k, v, torch.full((1, 1, 33, 4), LOG_DECAY_FLOOR), torch.zeros(1, 4))
    y.sum().backward()
    torch.testing.assert_close(y[:, :, 1:], (r[:, :, 1:] * k[:, :, :-1]).sum(-1, keepdim=True) * v[:, :, :-1],
                               rtol=1e-3, atol=1e-3)


@lengths
@dtypes
def test_rwkv_is_its_equations(length, dtype):
    """The whole time mix frame by frame, from the equations of Peng et al. (2024)."""
    torch.manual_seed(length)
    layer = rwkv.Mixer(2 * DIM, 1, 3).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))

    def by_hand(x):
        previous, outputs = torch.zeros_like(x[:, 0]), []
        state = torch.zeros(len(x), 2, DIM, DIM, dtype=dtype)
        for frame in x.unbind(1):
            step = previous - frame
            low = torch.tanh((frame + step * layer.time_maa_x) @ layer.time_maa_w1).split(32, dim=1)
            blends = [frame + step * (getattr(layer, f"time_maa_{name}") + low[i] @ layer.time_maa_w2[i])
                      for i, name in enumerate("wkvrg")]
            w, k, v, r, g = blends
            decay = torch.exp(-torch.exp(layer.time_decay + torch.tanh(w @ layer.time_decay_w1)
                                         @ layer.time_decay_w2)).view(-1, 2, DIM)
            r, k, v = (linear(value).view(-1, 2, DIM) for linear, value in (
                (layer.receptance, r), (layer.key, k), (layer.value, v)))
            pair = torch.einsum("bhi,bhj->bhij", k, v)
            y = torch.einsum("bhi,bhij->bhj", r, state + layer.time_faaaa[:, :, None] * pair)
            state = decay[..., None] * state + pair
            normed = (y - y.mean(-1, keepdim=True)) / (y.var(-1, correction=0, keepdim=True) + 64e-5).sqrt()
            normed = normed.flatten(1) * layer.ln_x.weight + layer.ln_x.bias
            outputs.append(layer.output(normed * F.silu(layer.gate(g))))
            previous = frame
        return torch.stack(outputs, 1)

    x, weights = torch.randn(2, 2, length, 2 * DIM, dtype=dtype)
    assert_near(gradients(layer, [x], weights), gradients(by_hand, [x], weights), dtype, GROUP_NORM_SLACK[dtype])


def test_initialisations():
    torch.manual_seed(0)
    forget = lstm.Mixer(DIM)
    inputs, recurrent, bias, other_bias = forget.parameters()
    assert bias[DIM: 2 * DIM].eq(1).all()
    assert bias.sum() == DIM
    assert not other_bias.any()
    torch.testing.assert_close(recurrent[:DIM] @ recurrent[:DIM].T, torch.eye(DIM), rtol=0, atol=1e-5)
    assert inputs.abs().max() <= math.sqrt(6 / (2 * DIM))
    rates = 1 - retnet.Mixer(DIM).log_gamma.exp()
    torch.testing.assert_close(rates[[0, -1]], torch.tensor([1 / 32, 1 / 512]), rtol=1e-4, atol=0)
    decay = rwkv.Mixer(DIM).time_decay
    assert decay[0] == -6
    assert decay[-1] == -1
