"""golden.dit against PyTorch's outputs, hand computations on a tiny model, and its checks."""

import re
from pathlib import Path

import numpy as np
import pytest

from golden.dit import DiT, DiTConfig, matmul
from mixdit_hw.checkpoint import load_dit
from tests.support.tiny_dit import CONFIG, tiny_inputs, tiny_state


class Recorder:
    """A `Gemm` that keeps names and operands of all calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, name, a, w, /):
        self.calls.append((name, a.copy(), w.copy()))
        return matmul(name, a, w)

    def operands(self, name):
        """Operands of the first call of that name, of the first image."""
        return next((a, w) if a.ndim == 2 else (a[0], w[0]) for n, a, w in self.calls if n == name)


def run(state, x=None, t=None, y=None):
    """Output and record of a tiny model, by default for one image of zeros."""
    x = np.zeros((1, 2, 4, 4), np.float32) if x is None else x
    t = np.zeros(len(x), np.int64) if t is None else t
    y = np.zeros(len(x), np.int64) if y is None else y
    recorder = Recorder()
    return DiT(state, heads=CONFIG.heads)(x, t, y, recorder), recorder


def test_digits_agree_with_pytorch():
    """Another implementation sums in another order: tolerance, not equality; outputs are about 1 in size."""
    expected = np.load(Path(__file__).parent / "data" / "dit_digits.npy")
    x = np.sin(np.arange(4 * 64)).astype(np.float32).reshape(4, 1, 8, 8)
    model, _ = load_dit()
    y = model(x, np.array([0, 250, 500, 999]), np.array([0, 3, 9, 10]))
    assert np.sqrt(np.mean(expected**2)) > 0.5
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5)


def test_every_product_in_order():
    _, record = run(tiny_state(1), *tiny_inputs(2, 1))
    heads = ["qk.0", "av.0", "qk.1", "av.1"]
    blocks = [
        f"blocks.{n}.{part}"
        for n in range(2)
        for part in (
            "adaLN_modulation.1",
            "attn.qkv",
            *(f"attn.{h}" for h in heads),
            "attn.proj",
            "mlp.fc1",
            "mlp.fc2",
        )
    ]
    names = ["t_embedder.mlp.0", "t_embedder.mlp.2", "x_embedder.proj", *blocks]
    names += ["final_layer.adaLN_modulation.1", "final_layer.linear"]
    assert [name for name, _, _ in record.calls] == names
    assert all(a.dtype == w.dtype == np.float32 and a.shape[-1] == w.shape[-2] for _, a, w in record.calls)
    assert record.operands("blocks.0.mlp.fc1")[0].shape == (8, 8)
    assert record.operands("blocks.1.attn.qk.1")[1].shape == (4, 4)


def test_weights_are_transposed_and_read_only():
    state = tiny_state(2)
    model = DiT(state, heads=2)
    weight = model.weight("blocks.1.attn.qkv")
    assert np.array_equal(weight, state["blocks.1.attn.qkv.weight"].T)
    assert not weight.flags.writeable
    assert weight.flags.c_contiguous


def test_patches_are_channel_row_column():
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    _, record = run(tiny_state(), x)
    a, _ = record.operands("x_embedder.proj")
    assert a.tolist() == [
        [0, 1, 4, 5, 16, 17, 20, 21],
        [2, 3, 6, 7, 18, 19, 22, 23],
        [8, 9, 12, 13, 24, 25, 28, 29],
        [10, 11, 14, 15, 26, 27, 30, 31],
    ]


def test_output_patches_are_row_column_channel():
    """With zero weights every token's output is the bias: (2, 2, 4) values, the last axis noise and variance."""
    state = tiny_state()
    state["final_layer.linear.bias"] = np.arange(16, dtype=np.float32)
    y, _ = run(state)
    assert y.shape == (1, 4, 4, 4)
    for channel in range(4):
        patch = np.array([[0, 4], [8, 12]]) + channel
        assert np.array_equal(y[0, channel], np.tile(patch, (2, 2)))


def test_timestep_embedding():
    t = np.array([0, 1], np.int64)
    _, record = run(tiny_state(), np.zeros((2, 2, 4, 4), np.float32), t)
    wave, _ = record.operands("t_embedder.mlp.0")
    assert wave[0].tolist() == [1.0] * 128 + [0.0] * 128
    angles = 10000.0 ** -(np.arange(128) / 128)
    np.testing.assert_allclose(wave[1], [*np.cos(angles), *np.sin(angles)], rtol=0, atol=2e-7)


def test_conditioning_is_silu_of_timestep_and_label():
    state = tiny_state()
    state["t_embedder.mlp.2.bias"] = np.full(8, 1, np.float32)
    state["y_embedder.embedding_table.weight"][:] = np.array([[0], [1], [2], [-1]])
    _, record = run(state, np.zeros((4, 2, 4, 4), np.float32), y=np.arange(4))
    c, _ = record.operands("blocks.0.adaLN_modulation.1")
    total = np.array([1.0, 2.0, 3.0, 0.0])
    np.testing.assert_allclose(c, np.repeat(total / (1 + np.exp(-total)), 8).reshape(4, 8), rtol=1e-6)
    assert c[3].tolist() == [0.0] * 8


def test_closed_gates_make_blocks_the_identity():
    """adaLN-Zero: with zero modulation, the blocks' weights do not matter."""
    state = tiny_state(3)
    for n in range(2):
        for part in ("weight", "bias"):
            state[f"blocks.{n}.adaLN_modulation.1.{part}"][:] = 0
    inputs = tiny_inputs(2, 3)
    y, record = run(state, *inputs)
    for n in range(2):
        state[f"blocks.{n}.mlp.fc2.weight"] += 1
    assert np.array_equal(run(state, *inputs)[0], y)
    a = [record.operands(f"blocks.{n}.attn.qkv")[0] for n in range(2)]
    assert np.array_equal(a[0], a[1])


def test_modulation_order_is_shift_scale_gate():
    """Values -1 and 1 in turn are their own norm, but for epsilon; the gates are 0 of attention and 5 of the MLP."""
    state = tiny_state()
    state["pos_embed"][:] = np.tile([-1.0, 1.0], 4)
    state["blocks.0.adaLN_modulation.1.bias"] = np.repeat([2, 3, 0, 4, 6, 5], 8).astype(np.float32)
    state["blocks.0.mlp.fc2.bias"] = np.full(8, 7, np.float32)
    _, record = run(state)
    np.testing.assert_allclose(
        record.operands("blocks.0.attn.qkv")[0], np.tile([-2, 6], (4, 4)), rtol=2e-6
    )  # x * (1 + 3) + 2
    np.testing.assert_allclose(
        record.operands("blocks.0.mlp.fc1")[0], np.tile([-3, 11], (4, 4)), rtol=2e-6
    )  # x * (1 + 6) + 4
    # The MLP adds 5 * 7 to all: the second block's norm is the same again, unmodulated.
    np.testing.assert_allclose(record.operands("blocks.1.attn.qkv")[0], np.tile([-1, 1], (4, 4)), rtol=2e-6)


def test_attention_operands():
    """Query, key and value are thirds of qkv, heads their halves; equal keys give equal weights: the mean value."""
    state = tiny_state()
    state["blocks.0.attn.qkv.bias"] = np.arange(24, dtype=np.float32)
    _, record = run(state)
    q, k = record.operands("blocks.0.attn.qk.1")
    weights, v = record.operands("blocks.0.attn.av.1")
    assert q.tolist() == [[2.0, 2.5, 3.0, 3.5]] * 4  # scaled by 1/sqrt(4)
    assert k.T.tolist() == [[12.0, 13.0, 14.0, 15.0]] * 4
    assert weights.tolist() == [[0.25] * 4] * 4
    assert v.tolist() == [[20.0, 21.0, 22.0, 23.0]] * 4
    assert record.operands("blocks.0.attn.proj")[0].tolist() == [np.arange(16.0, 24.0).tolist()] * 4


def test_gelu():
    state = tiny_state()
    x = np.linspace(-12, 12, 16)
    state["blocks.0.mlp.fc1.bias"] = x.astype(np.float32)
    _, record = run(state)
    expected = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(record.operands("blocks.0.mlp.fc2")[0][0], expected, rtol=3e-6, atol=1e-6)


def test_images_do_not_mix():
    state, (x, t, y) = tiny_state(5), tiny_inputs(3, 5)
    model = DiT(state, heads=2)
    expected = [model(x[i : i + 1], t[i : i + 1], y[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(model(x, t, y), expected, rtol=1e-4, atol=1e-4)  # BLAS sums by shape


def test_config_is_inferred():
    assert DiT(tiny_state(6), heads=2).config == CONFIG
    state = {name: array.astype(np.float16) for name, array in tiny_state(6).items()}
    assert DiTConfig.infer(state, heads=4).head_size == 2


def test_named_geometry():
    config = DiTConfig.named("DiT-XL/2")
    assert config == DiTConfig()
    assert (config.tokens, config.head_size, config.out_channels) == (256, 72, 8)
    parameters = sum(int(np.prod(s)) for n, s in config.state_shapes().items() if n != "pos_embed")
    assert parameters == 674_834_720
    assert DiTConfig.named("DiT-S/4", input_size=64).tokens == 256


@pytest.mark.parametrize("name", ["DiT-H/2", "DiT-S/3", "dit-xl/2", "DiT-XL/22"])
def test_unknown_geometry(name):
    with pytest.raises(ValueError, match=re.escape(f"with /2, /4 or /8, not {name!r}")):
        DiTConfig.named(name)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"depth": 1.0}, TypeError, "depth must be an integer, not 1.0"),
        ({"heads": True}, TypeError, "heads must be an integer, not True"),
        ({"learn_sigma": 1}, TypeError, "learn_sigma must be a boolean, not 1"),
        ({"classes": 0}, ValueError, "classes must be at least 1, not 0"),
        ({"input_size": 33}, ValueError, "input_size must be a multiple of patch_size=2, not 33"),
        ({"heads": 7}, ValueError, "hidden_size must be a multiple of 4 and of heads=7, not 1152"),
    ],
)
def test_bad_config(change, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        DiTConfig(**change)


def without(name):
    state = tiny_state()
    del state[name]
    return state


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (without("pos_embed"), ValueError, "state dict must hold 'pos_embed', which is missing"),
        (
            without("blocks.1.attn.proj.bias"),
            ValueError,
            "state dict must hold 'blocks.1.attn.proj.bias', which is missing",
        ),
        (
            tiny_state() | {"blocks.0.mlp.fc2.bias": np.zeros(9, np.float32)},
            ValueError,
            "blocks.0.mlp.fc2.bias must be of shape (8,), not (9,)",
        ),
        (
            tiny_state() | {"pos_embed": np.zeros((1, 5, 8), np.float32)},
            ValueError,
            "pos_embed must be of shape (1, 4, 8), not (1, 5, 8)",
        ),
        (
            tiny_state() | {"x_embedder.proj.weight": np.zeros((8, 0, 2, 2), np.float32)},
            ValueError,
            "x_embedder.proj.weight must have 4 dimensions, none of them 0, not the shape (8, 0, 2, 2)",
        ),
        (
            tiny_state() | {"pos_embed": np.zeros((1, 4, 8))},
            TypeError,
            "pos_embed must be float32 or float16, not float64",
        ),
        (
            tiny_state() | {"blocks.0.norm1.weight": np.zeros(8, np.float32)},
            ValueError,
            "state dict must not hold 'blocks.0.norm1.weight', which is no tensor of this DiT",
        ),
    ],
)
def test_bad_state(state, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        DiT(state, heads=2)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"x": np.zeros((2, 2, 4, 4))}, TypeError, "x must be float32, not float64"),
        (
            {"x": np.zeros((2, 1, 4, 4), np.float32)},
            ValueError,
            "x must be of shape (B, 2, 4, 4), not (2, 1, 4, 4)",
        ),
        (
            {"x": np.zeros((0, 2, 4, 4), np.float32)},
            ValueError,
            "x must be of shape (B, 2, 4, 4), not (0, 2, 4, 4)",
        ),
        ({"t": np.zeros(2)}, TypeError, "t must be of integers, not float64"),
        ({"y": np.zeros(3, np.int64)}, ValueError, "y must be of shape (2,), not (3,)"),
        ({"y": np.array([0, 4])}, ValueError, "y must be 0 to 3, not [0, 4]"),
    ],
)
def test_bad_inputs(change, error, text):
    good = {"x": np.zeros((2, 2, 4, 4), np.float32), "t": np.zeros(2, np.int64), "y": np.zeros(2, np.int64)}
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        DiT(tiny_state(), heads=2)(**(good | change))
