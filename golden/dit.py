"""Diffusion transformer (DiT) for inference in NumPy float32, with every matrix product pluggable.

The architecture and the state-dict names are those of the reference implementation of DiT (Peebles and Xie, "Scalable
Diffusion Models with Transformers", ICCV 2023), so that its published checkpoints fit too: patch embedding, adaLN-Zero
blocks conditioned on timestep and label, final layer. A state dict is a mapping of names to arrays, or to what becomes
arrays when it is needed; reading files is left to the caller.

Names of the products, in the order of their calls, for block N and head H::

    x_embedder.proj  t_embedder.mlp.0  t_embedder.mlp.2
    blocks.N.adaLN_modulation.1  blocks.N.attn.qkv  blocks.N.attn.qk.H  blocks.N.attn.av.H  blocks.N.attn.proj
    blocks.N.mlp.fc1  blocks.N.mlp.fc2
    final_layer.adaLN_modulation.1  final_layer.linear
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

FREQUENCIES = 256  # width of the sinusoidal timestep embedding
MAX_PERIOD = 10000.0  # longest period of that embedding, in timesteps
NORM_EPSILON = 1e-6
HEAD_PRODUCT = re.compile(r"(?P<layer>.+\.attn)\.(?P<product>qk|av)\.(?P<head>\d+)")  # both operands are activations

GEOMETRIES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}  # hidden, depth, heads


class Tensor(Protocol):
    """An array, or what `numpy.asarray` makes one, such as a part of a file that is read only then."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        ...

    def __array__(self) -> np.ndarray:
        """The array; takes the arguments that `numpy.asarray` gives, too."""
        ...


class Gemm(Protocol):
    """A matrix product that knows what it is used for."""

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Multiply ``a`` (M, K) by ``w`` (K, N), both float32, to a new float32 array (M, N).

        Weights of linear layers are the same read-only array in every call, which may be kept; those of a model that
        streams are new and writeable. Operands of head products are new ones, and stacks, one product for each of B
        images: (B, M, K), (B, K, N) and (B, M, N).
        """
        ...


def published_heads(hidden_size: int) -> int:
    """Attention heads of the published size of that width; ValueError where there is none."""
    heads = {hidden: heads for hidden, _, heads in GEOMETRIES.values()}
    if hidden_size not in heads:
        widths = ", ".join(map(str, heads))
        raise ValueError(f"heads must be given where the width is none of {widths}, but {hidden_size}")
    return heads[hidden_size]


def matmul(name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
    """The plain float32 product."""
    return a @ w


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Geometry of a DiT; the defaults are DiT-XL/2 at 256x256 pixels (32x32 latents).

    Parameters
    ----------
    input_size
        Height and width of the image, a multiple of ``patch_size``.
    patch_size
        Height and width of the patch that becomes one token.
    in_channels
        Channels of the image.
    hidden_size
        Width of a token, a multiple of 4 and of ``heads``.
    depth
        Transformer blocks.
    heads
        Attention heads of a block.
    mlp_ratio
        Width of the MLP over ``hidden_size``.
    classes
        Labels; label number ``classes`` is the null class of classifier-free guidance.
    learn_sigma
        Whether the output carries a variance after the noise, which doubles its channels.

    Raises
    ------
    TypeError
        A value is of the wrong kind.
    ValueError
        A value is out of range or does not fit another.
    """

    input_size: int = 32
    patch_size: int = 2
    in_channels: int = 4
    hidden_size: int = 1152
    depth: int = 28
    heads: int = 16
    mlp_ratio: int = 4
    classes: int = 1000
    learn_sigma: bool = True

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name == "learn_sigma":
                if not isinstance(value, bool):
                    raise TypeError(f"learn_sigma must be a boolean, not {value!r}")
            elif not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, not {value!r}")
            elif value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.input_size % self.patch_size:
            raise ValueError(f"input_size must be a multiple of patch_size={self.patch_size}, not {self.input_size}")
        if self.hidden_size % 4 or self.hidden_size % self.heads:
            raise ValueError(f"hidden_size must be a multiple of 4 and of heads={self.heads}, not {self.hidden_size}")

    @property
    def grid(self) -> int:
        """Patches along a side of the image."""
        return self.input_size // self.patch_size

    @property
    def tokens(self) -> int:
        """Tokens of an image."""
        return self.grid**2

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.hidden_size // self.heads

    @property
    def out_channels(self) -> int:
        """Channels of the output: the noise, and the variance where it is learned."""
        return self.in_channels * (2 if self.learn_sigma else 1)

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs (K, N) of every layer with weights and bias, by name; the patch embedding is one."""
        d, pixels = self.hidden_size, self.patch_size**2
        layers = {
            "x_embedder.proj": (self.in_channels * pixels, d),
            "t_embedder.mlp.0": (FREQUENCIES, d),
            "t_embedder.mlp.2": (d, d),
        }
        for n in range(self.depth):
            layers |= {
                f"blocks.{n}.adaLN_modulation.1": (d, 6 * d),
                f"blocks.{n}.attn.qkv": (d, 3 * d),
                f"blocks.{n}.attn.proj": (d, d),
                f"blocks.{n}.mlp.fc1": (d, self.mlp_ratio * d),
                f"blocks.{n}.mlp.fc2": (self.mlp_ratio * d, d),
            }
        return layers | {
            "final_layer.adaLN_modulation.1": (d, 2 * d),
            "final_layer.linear": (d, pixels * self.out_channels),
        }

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor of the state dict, by name."""
        shapes: dict[str, tuple[int, ...]] = {
            "pos_embed": (1, self.tokens, self.hidden_size),
            "y_embedder.embedding_table.weight": (self.classes + 1, self.hidden_size),
        }
        for name, (k, n) in self.linear_layers().items():
            shapes |= {f"{name}.weight": (n, k), f"{name}.bias": (n,)}
        shapes["x_embedder.proj.weight"] = (self.hidden_size, self.in_channels, self.patch_size, self.patch_size)
        return shapes

    @classmethod
    def named(cls, name: str, *, input_size: int = 32) -> "DiTConfig":
        """Published geometry such as ``DiT-XL/2``: sizes S, B, L, XL and patches 2, 4, 8; ValueError for another."""
        match = re.fullmatch(r"DiT-(S|B|L|XL)/([248])", name)
        if match is None:
            raise ValueError(f"model must be DiT-S, DiT-B, DiT-L or DiT-XL with /2, /4 or /8, not {name!r}")
        hidden, depth, heads = GEOMETRIES[match[1]]
        return cls(input_size=input_size, patch_size=int(match[2]), hidden_size=hidden, depth=depth, heads=heads)

    @classmethod
    def infer(cls, state: Mapping[str, Tensor], *, heads: int | None = None) -> "DiTConfig":
        """Read the geometry off a state dict's shapes; no array is read.

        They do not tell the number of heads; None is that of the published size of this width.

        Raises ValueError where a tensor is missing, has the wrong shape, or belongs to no DiT.
        """

        def shape(name: str, dimensions: int) -> tuple[int, ...]:
            if name not in state:
                raise ValueError(f"state dict must hold {name!r}, which is missing")
            found = state[name].shape
            if len(found) != dimensions or 0 in found:
                raise ValueError(f"{name} must have {dimensions} dimensions, none of them 0, not the shape {found}")
            return found

        hidden, channels, patch, _ = shape("x_embedder.proj.weight", 4)
        grid = math.isqrt(shape("pos_embed", 3)[1])
        outputs = shape("final_layer.linear.weight", 2)[0] // patch**2
        config = cls(
            input_size=grid * patch,
            patch_size=patch,
            in_channels=channels,
            hidden_size=hidden,
            depth=len({key.split(".")[1] for key in state if re.match(r"blocks\.\d+\.", key)}),
            heads=published_heads(hidden) if heads is None else heads,
            mlp_ratio=max(1, shape("blocks.0.mlp.fc1.weight", 2)[0] // hidden),
            classes=shape("y_embedder.embedding_table.weight", 2)[0] - 1,
            learn_sigma=outputs == 2 * channels,
        )
        config.check(state)
        return config

    def check(self, state: Mapping[str, Tensor]) -> None:
        """Raise ValueError or TypeError for the first tensor that is missing, of wrong shape or dtype, or unknown."""
        shapes = self.state_shapes()
        for name, shape in shapes.items():
            if name not in state:
                raise ValueError(f"state dict must hold {name!r}, which is missing")
            if state[name].shape != shape:
                raise ValueError(f"{name} must be of shape {shape}, not {state[name].shape}")
            if state[name].dtype not in (np.float32, np.float16):
                raise TypeError(f"{name} must be float32 or float16, not {state[name].dtype}")
        for name in state:
            if name not in shapes:
                raise ValueError(f"state dict must not hold {name!r}, which is no tensor of this DiT")


class DiT:
    """A DiT with its weights.

    Parameters
    ----------
    state
        State dict of float32 or float16 tensors; they are copied as float32.
    heads
        Attention heads; None for those of the published size of this width. The rest of the geometry is read off the
        shapes.
    streaming
        Whether the weights of a layer are copied from ``state`` each time they are used, and dropped after it, so that
        the model takes little more memory than its largest layer. Otherwise all are copied now.

    Raises
    ------
    TypeError, ValueError
        As `DiTConfig.infer` does, before any tensor is read.
    """

    def __init__(self, state: Mapping[str, Tensor], *, heads: int | None = None, streaming: bool = False) -> None:
        self.config = DiTConfig.infer(state, heads=heads)
        self._layers = self.config.linear_layers()
        self._positions = np.array(state["pos_embed"], np.float32)
        self._labels = np.array(state["y_embedder.embedding_table.weight"], np.float32)
        self._state = state
        self._weights: dict[str, np.ndarray] = {}  # (K, N), read-only; none of a model that streams
        self._biases: dict[str, np.ndarray] = {}
        if not streaming:
            for name in self._layers:
                self._weights[name] = _read_only(self._read_weight(name))
                self._biases[name] = _read_only(self._read_bias(name))
            self._state = {}  # all is copied

    def weight(self, name: str) -> np.ndarray:
        """Weights (K, N) of a linear layer, float32; read-only and always the same, or new where the model streams."""
        return self._weights[name] if name in self._weights else self._read_weight(name)

    def bias(self, name: str) -> np.ndarray:
        """Bias (N,) of a linear layer, float32, likewise."""
        return self._biases[name] if name in self._biases else self._read_bias(name)

    def __call__(self, x: np.ndarray, t: np.ndarray, y: np.ndarray, gemm: Gemm = matmul) -> np.ndarray:
        """Predict the noise.

        Parameters
        ----------
        x
            Noisy images (B, in_channels, input_size, input_size), float32.
        t
            Timesteps (B,), integers.
        y
            Labels (B,), integers 0 to ``classes``, the last the null class.
        gemm
            Used for every matrix product.

        Returns
        -------
        Array (B, out_channels, input_size, input_size), float32.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong dtype, shape or range.
        """
        self._check(x, t, y)
        c = _silu(self._embed_timestep(t, gemm) + self._labels[y])
        x = self._embed_patches(x, gemm)
        for n in range(self.config.depth):
            x = self._block(f"blocks.{n}", x, c, gemm)
        shift, scale = self._modulation("final_layer", c, 2, gemm)
        return self._unpatch(self._linear("final_layer.linear", _norm(x) * (1 + scale) + shift, gemm))

    def _check(self, x: np.ndarray, t: np.ndarray, y: np.ndarray) -> None:
        cfg = self.config
        image = (cfg.in_channels, cfg.input_size, cfg.input_size)
        if x.dtype != np.float32:
            raise TypeError(f"x must be float32, not {x.dtype}")
        if x.ndim != 4 or x.shape[1:] != image or len(x) == 0:
            raise ValueError(f"x must be of shape (B, {', '.join(map(str, image))}), not {x.shape}")
        for name, array in (("t", t), ("y", y)):
            if array.dtype.kind not in "iu":
                raise TypeError(f"{name} must be of integers, not {array.dtype}")
            if array.shape != x.shape[:1]:
                raise ValueError(f"{name} must be of shape ({len(x)},), not {array.shape}")
        if y.min() < 0 or y.max() > cfg.classes:
            raise ValueError(f"y must be 0 to {cfg.classes}, not {y.tolist()}")

    def _read_weight(self, name: str) -> np.ndarray:
        k, n = self._layers[name]
        return np.array(np.asarray(self._state[f"{name}.weight"]).reshape(n, k).T, np.float32, order="C")

    def _read_bias(self, name: str) -> np.ndarray:
        return np.array(self._state[f"{name}.bias"], np.float32)

    def _linear(self, name: str, x: np.ndarray, gemm: Gemm) -> np.ndarray:
        """Product with the layer's weights plus its bias, over the last axis; all tokens in one product."""
        k, n = self._layers[name]
        y = gemm(name, np.ascontiguousarray(x.reshape(-1, k)), self.weight(name))
        y += self.bias(name)
        return y.reshape(*x.shape[:-1], n)

    def _embed_timestep(self, t: np.ndarray, gemm: Gemm) -> np.ndarray:
        """Timesteps (B,) to vectors (B, D): cosines, then sines, of geometric frequencies, through an MLP."""
        half = FREQUENCIES // 2
        frequency = np.exp(np.float32(-math.log(MAX_PERIOD)) * np.arange(half, dtype=np.float32) / np.float32(half))
        angle = t[:, None].astype(np.float32) * frequency
        wave = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        return self._linear("t_embedder.mlp.2", _silu(self._linear("t_embedder.mlp.0", wave, gemm)), gemm)

    def _embed_patches(self, x: np.ndarray, gemm: Gemm) -> np.ndarray:
        """Images to tokens (B, T, D); a strided convolution is a product with the flattened patches (C, P, P)."""
        cfg = self.config
        x = x.reshape(-1, cfg.in_channels, cfg.grid, cfg.patch_size, cfg.grid, cfg.patch_size)
        patches = x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, cfg.tokens, cfg.in_channels * cfg.patch_size**2)
        return self._linear("x_embedder.proj", patches, gemm) + self._positions

    def _unpatch(self, x: np.ndarray) -> np.ndarray:
        """Tokens whose values are in the order (P, P, C) back to images."""
        cfg = self.config
        x = x.reshape(-1, cfg.grid, cfg.grid, cfg.patch_size, cfg.patch_size, cfg.out_channels)
        x = x.transpose(0, 5, 1, 3, 2, 4)
        return x.reshape(-1, cfg.out_channels, cfg.input_size, cfg.input_size)

    def _modulation(self, name: str, c: np.ndarray, parts: int, gemm: Gemm) -> list[np.ndarray]:
        """Vectors (B, 1, D) that shift, scale and gate, from the conditioning (B, D)."""
        return np.split(self._linear(f"{name}.adaLN_modulation.1", c, gemm)[:, None], parts, axis=2)

    def _block(self, name: str, x: np.ndarray, c: np.ndarray, gemm: Gemm) -> np.ndarray:
        shift1, scale1, gate1, shift2, scale2, gate2 = self._modulation(name, c, 6, gemm)
        x = x + gate1 * self._attention(f"{name}.attn", _norm(x) * (1 + scale1) + shift1, gemm)
        hidden = self._linear(f"{name}.mlp.fc1", _norm(x) * (1 + scale2) + shift2, gemm)
        return x + gate2 * self._linear(f"{name}.mlp.fc2", gelu(hidden), gemm)

    def _attention(self, name: str, x: np.ndarray, gemm: Gemm) -> np.ndarray:
        """Multi-head self-attention; queries are scaled before their product, all images of a head in one stack."""
        cfg = self.config
        qkv = self._linear(f"{name}.qkv", x, gemm).reshape(-1, cfg.tokens, 3, cfg.heads, cfg.head_size)
        q, k, v = np.ascontiguousarray(qkv.transpose(2, 3, 0, 1, 4))  # each (H, B, T, head)
        q *= np.float32(cfg.head_size**-0.5)
        y = np.empty((len(x), cfg.tokens, cfg.heads, cfg.head_size), np.float32)
        for head in range(cfg.heads):
            weights = _softmax(gemm(f"{name}.qk.{head}", q[head], k[head].swapaxes(1, 2)))
            y[:, :, head] = gemm(f"{name}.av.{head}", weights, v[head])
        return self._linear(f"{name}.proj", y.reshape(x.shape), gemm)


def _read_only(x: np.ndarray) -> np.ndarray:
    """The same array, to be written no more."""
    x.flags.writeable = False
    return x


def _silu(x: np.ndarray) -> np.ndarray:
    """x * sigmoid(x), by tanh, which cannot overflow."""
    return x * (np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x)))


def gelu(x: np.ndarray) -> np.ndarray:
    """Gaussian error linear unit in its tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    y = x * x
    y *= np.float32(0.044715)
    y += 1
    y *= x
    y *= np.float32(math.sqrt(2 / math.pi))
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def _norm(x: np.ndarray) -> np.ndarray:
    """Layer normalisation over the last axis, without scale and offset."""
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(NORM_EPSILON))


def _softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
