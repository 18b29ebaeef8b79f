"""What takes the place of a DiT's layers: the same modules with other products, as subclasses of their own classes.

A layer keeps its parameters and its place; it gets a child that holds what was converted, in buffers that follow
``.to(device)``, are of integers, so that ``.half()`` leaves them alone, and are in no state dict.
"""

import weakref
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from golden.policy import PrecisionPolicy

from .convert import Options
from .order import Order, stored_order
from .precision import exact_products
from .product import multiply, operand

CHILD = "mixdit"  # name of the child that a layer gets


class Weights(nn.Module):
    """Converted weights of a linear layer.

    Parameters
    ----------
    weight
        Parameter (N, K), or (N, C, P, P), of any float type, widened to float32.
    order, options
        Stored order and options of the conversion.
    """

    def __init__(self, weight: Tensor, order: Order, options: Options) -> None:
        super().__init__()
        self.order, self.options = order, options
        self._source = weakref.ref(weight), _writes(weight)
        index, others = order.indices(weight.device)
        with torch.no_grad():
            w = operand(order.parts_of_w(weight.detach().flatten(1).float()[None], index, others), options, left=False)
        self._operand = replace(w, words=w.words[:, :0], nan=w.nan[:, :0])  # without its tensors
        for name, tensor in (
            ("index", index),
            ("others", others),
            ("words", (w.words >> 16).to(torch.int16).contiguous()),
            ("nan", w.nan),
        ):
            self.register_buffer(name, tensor, persistent=False)

    def check(self, weight: Tensor) -> None:
        """Raise RuntimeError where the weights were written to since they were converted."""
        source, writes = self._source
        if source() is weight and _writes(weight) != writes:  # of a copy of the model it is another
            raise RuntimeError("weights changed after quantize_model: restore the model and quantize it again")

    def forward(self, x: Tensor) -> Tensor:
        """Product (M, N) of float32 rows (M, K)."""
        with torch.no_grad():
            a = operand(self.order.parts_of_a(x[None], self.index, self.others), self.options, left=True)
            return multiply(a, replace(self._operand, words=self.words, nan=self.nan))[0]


def _writes(weight: Tensor) -> int | None:
    """How often a tensor was written to; None where PyTorch does not count."""
    return None if weight.is_inference() else weight._version


class MXLinear(nn.Linear):
    """A linear layer whose product is emulated; its result has the type of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return _linear(self, input, self.weight)


class MXPatches(nn.Conv2d):
    """A patch embedding, a product with flattened patches, that is emulated."""

    def forward(self, input: Tensor) -> Tensor:
        b, c, _, _ = input.shape
        p, q = self.kernel_size
        x = input.unflatten(3, (-1, q)).unflatten(2, (-1, p))  # b, c, rows, p, columns, q
        rows, columns = x.shape[2], x.shape[4]
        y = _linear(self, x.permute(0, 2, 4, 1, 3, 5).reshape(b, rows, columns, c * p * q), self.weight)
        return y.permute(0, 3, 1, 2)


def _linear(layer: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    """Product with the converted weights plus the bias in float32, over the last axis."""
    weights = getattr(layer, CHILD)
    weights.check(weight)
    with exact_products(x.device):
        y = weights(x.reshape(-1, x.shape[-1]).float())
        if layer.bias is not None:
            y += layer.bias.float()
        return y.view(*x.shape[:-1], -1).to(x.dtype)


class HeadProducts(nn.Module):
    """Both products of an attention, emulated head by head.

    Parameters
    ----------
    policy
        Formats of heads; heads whose product is exempt are PyTorch's own float32.
    layer
        Name of the attention, ``blocks.N.attn``.
    heads
        Number of heads.
    device
        Where the indices of heads are.
    """

    def __init__(self, policy: PrecisionPolicy, layer: str, heads: int, device: torch.device) -> None:
        super().__init__()
        self.options = Options(**policy.options)
        self._orders: dict[str, list[Order | None]] = {}
        for product in ("qk", "av"):
            groups: dict[Order | None, list[int]] = {}
            for head in range(heads):
                groups.setdefault(stored_order(policy, f"{layer}.{product}.{head}", 1), []).append(head)
            self._orders[product] = list(groups)
            for i, members in enumerate(groups.values()):
                index = torch.tensor(members, dtype=torch.int64, device=device)
                self.register_buffer(f"{product}{i}", index, persistent=False)

    def forward(self, product: str, a: Tensor, w: Tensor) -> Tensor:
        """Products (B, H, M, N), float32, of a (B, H, M, K) and w (B, H, N, K); product is ``qk`` or ``av``."""
        orders = self._orders[product]
        if len(orders) == 1:
            return self._group(orders[0], a, w)
        result = a.new_empty(*a.shape[:3], w.shape[2])
        for i, order in enumerate(orders):
            heads = getattr(self, f"{product}{i}")
            result[:, heads] = self._group(order, a[:, heads], w[:, heads])
        return result

    def _group(self, order: Order | None, a: Tensor, w: Tensor) -> Tensor:
        if order is None:
            return a @ w.transpose(2, 3)
        stacks = (x.reshape(-1, *x.shape[2:]) for x in (a, w))
        operands = [
            operand([(x, formats[0])], self.options, left=left)
            for x, formats, left in zip(stacks, (order.formats_a, order.formats_w), (True, False), strict=True)
        ]
        return multiply(*operands).view(*a.shape[:3], w.shape[2])


class PlainProducts(nn.Module):
    """Both products of an attention in float32."""

    def forward(self, product: str, a: Tensor, w: Tensor) -> Tensor:
        """Products (B, H, M, N) of a (B, H, M, K) and w (B, H, N, K)."""
        return a @ w.transpose(2, 3)


class _Attention(nn.Module):
    """Attention whose two products are those of a child. Scores and softmax are float32."""

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Heads (B, H, T, D) of any float type to (B, T, H * D) of the same type."""
        products = getattr(self, CHILD)
        with exact_products(q.device):
            scores = products("qk", q.float() * scale, k.float())
            y = products("av", scores.softmax(-1), v.float().transpose(2, 3))
        return y.transpose(1, 2).flatten(2).to(q.dtype)


class MXAttention(_Attention):
    """Attention of the official layout (``qkv``, ``proj``, ``num_heads``)."""

    def forward(self, x: Tensor, attn_mask: Any = None, **options: Any) -> Tensor:
        _refuse(attn_mask=attn_mask, **options)
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = _apply(self, "q_norm", q), _apply(self, "k_norm", k)
        scale = getattr(self, "scale", q.shape[-1] ** -0.5)
        y = _apply(self, "norm", self._attend(q, k, v, scale))
        return _apply(self, "proj_drop", self.proj(y))


class MXDiffusersAttention(_Attention):
    """Self-attention of diffusers' `Attention` (``to_q``, ``to_k``, ``to_v``, ``to_out``, ``heads``)."""

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None, **options: Any
    ) -> Tensor:
        _refuse(encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, **options)
        x = hidden_states
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.to_q, self.to_k, self.to_v)
        )
        q, k = _apply(self, "norm_q", q), _apply(self, "norm_k", k)
        y = self._attend(q, k, v, self.scale)
        for layer in self.to_out:
            y = layer(y)
        if self.residual_connection:
            y = y + x
        return y / self.rescale_output_factor


def _apply(module: nn.Module, name: str, x: Tensor) -> Tensor:
    """A child's result, or x where there is none of that name."""
    child = getattr(module, name, None)
    return x if child is None else child(x)


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise ValueError(f"{name} must be left out in an emulated attention")


@cache
def _subclass(new: type, old: type) -> type:
    return type(new.__name__, (new, old), {"mixdit_original": old})


def replace_layer(layer: nn.Module, new: type, child: nn.Module) -> None:
    """Make a layer one of class ``new``, with a child; its own class becomes that one's second base."""
    layer.add_module(CHILD, child)
    layer.__class__ = _subclass(new, type(layer))


def restore_layer(layer: nn.Module) -> None:
    """Undo `replace_layer`; nothing happens to a layer that it was not done to."""
    if is_replaced(layer):
        layer.__class__ = type(layer).mixdit_original
        delattr(layer, CHILD)


def is_replaced(layer: nn.Module) -> bool:
    """Whether `replace_layer` was done to it."""
    return hasattr(type(layer), "mixdit_original")
