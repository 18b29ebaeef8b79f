"""Where the matrix products of a DiT are in PyTorch, by the names that policies have for them (`golden.dit`).

Two layouts are known: that of DiT's reference implementation, whose modules have these names already, and that of
diffusers' ``DiTTransformer2DModel``, in which every block has an embedder of timesteps of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from golden.policy import PrecisionPolicy

from .modules import (
    MXAttention,
    MXDiffusersAttention,
    MXLinear,
    MXPatches,
    PlainProducts,
    is_replaced,
    replace_layer,
    restore_layer,
)

# Paths of modules, and the products' names.
_OFFICIAL = {
    r"x_embedder\.proj": "x_embedder.proj",
    r"t_embedder\.mlp\.([02])": r"t_embedder.mlp.\1",
    r"blocks\.(\d+)\.adaLN_modulation\.1": r"blocks.\1.adaLN_modulation.1",
    r"blocks\.(\d+)\.(attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)": r"blocks.\1.\2",
    r"final_layer\.(adaLN_modulation\.1|linear)": r"final_layer.\1",
}
_DIFFUSERS = {
    r"pos_embed\.proj": "x_embedder.proj",
    r"transformer_blocks\.\d+\.norm1\.emb\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"transformer_blocks\.\d+\.norm1\.emb\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"transformer_blocks\.(\d+)\.norm1\.linear": r"blocks.\1.adaLN_modulation.1",
    r"transformer_blocks\.(\d+)\.attn1\.to_[qkv]": r"blocks.\1.attn.qkv",
    r"transformer_blocks\.(\d+)\.attn1\.to_out\.0": r"blocks.\1.attn.proj",
    r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"blocks.\1.mlp.fc1",
    r"transformer_blocks\.(\d+)\.ff\.net\.2": r"blocks.\1.mlp.fc2",
    r"proj_out_1": "final_layer.adaLN_modulation.1",
    r"proj_out_2": "final_layer.linear",
}
# Children that every block must have, and its attention.
_PARTS_OFFICIAL = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
_PARTS_DIFFUSERS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2")
_TOLERANCE = 0.05  # of the largest result, when an attention is tried; enough for models in bfloat16
_OPTIONAL_OF_DIFFUSERS = ("group_norm", "spatial_norm", "add_k_proj", "norm_cross", "is_cross_attention")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A linear layer or a patch embedding.

    Parameters
    ----------
    path
        Of the module in the model.
    name
        Of its product.
    module
        The module itself.
    """

    path: str
    name: str
    module: nn.Module

    @property
    def inputs(self) -> int:
        """Channels K of its product."""
        return self.module.weight[0].numel()

    @property
    def replacement(self) -> type:
        """Class that emulates it."""
        return MXPatches if isinstance(self.module, nn.Conv2d) else MXLinear


@dataclass(frozen=True, kw_only=True)
class Attention:
    """An attention; ``name`` is ``blocks.N.attn``."""

    path: str
    name: str
    module: nn.Module
    heads: int
    replacement: type

    def products(self) -> list[str]:
        """Names of its head products."""
        return [f"{self.name}.{product}.{head}" for product in ("qk", "av") for head in range(self.heads)]


@dataclass(frozen=True, kw_only=True)
class Sites:
    """All products of a model whose names policies know.

    Parameters
    ----------
    layers
        In the order of the model's modules.
    attentions
        One for each block.
    """

    layers: tuple[Layer, ...]
    attentions: tuple[Attention, ...]

    def check(self, policy: PrecisionPolicy) -> None:
        """Raise ValueError if a name or an index of the outliers or heads is none of this model's."""
        channels = {layer.name: layer.inputs for layer in self.layers}
        heads = {attention.name: attention.heads for attention in self.attentions}
        for field, chosen, sizes in (("outliers", policy.outliers, channels), ("heads", policy.heads, heads)):
            _check_indices(field, chosen, sizes)


def _check_indices(field: str, chosen: Mapping[str, tuple[int, ...]], sizes: dict[str, int]) -> None:
    for key, indices in chosen.items():
        if key not in sizes:
            raise ValueError(f"{field} must name layers of the model, not {key!r}")
        if indices and indices[-1] >= sizes[key]:
            raise ValueError(f"{field} of {key!r} must be 0 to {sizes[key] - 1}, not {indices[-1]}")


def find_sites(model: nn.Module) -> Sites:
    """The products of a DiT.

    Raises
    ------
    TypeError
        The model is no module, of neither layout, or a layer of a block is of another kind than those of a DiT.
    ValueError
        Its products are emulated or watched already.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a PyTorch module, of a pipeline its transformer, not {type(model).__name__}")
    if any(is_replaced(module) for module in model.modules()):
        raise ValueError("model must be restored first: its products are emulated or watched already")
    for root, names, parts, attention in (
        ("blocks", _OFFICIAL, _PARTS_OFFICIAL, _official_attention),
        ("transformer_blocks", _DIFFUSERS, _PARTS_DIFFUSERS, _diffusers_attention),
    ):
        blocks = getattr(model, root, ())
        if isinstance(blocks, nn.ModuleList) and len(blocks) and all(_has(b, parts) for b in blocks):
            layers = tuple(_layers(model, names))
            attentions = tuple(attention(f"{root}.{n}", n, block) for n, block in enumerate(blocks))
            for found in attentions:
                _try(found)
            return Sites(layers=layers, attentions=attentions)
    raise TypeError(
        f"model must be a DiT of the official layout or diffusers' DiTTransformer2DModel, not {type(model).__name__}"
    )


def _try(attention: Attention) -> None:
    """Raise TypeError unless an attention does what its replacement does, tried on random tokens."""
    module = attention.module
    parameter = next(module.parameters())
    layer = module.qkv if attention.replacement is MXAttention else module.to_q
    x = torch.randn(1, 8, layer.in_features, generator=torch.Generator().manual_seed(1)).to(parameter)
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            wanted = module(x)
            replace_layer(module, attention.replacement, PlainProducts())
            error = (module(x) - wanted).abs().amax()
    finally:
        restore_layer(module)
        for child, training in modes:
            child.training = training
    if error > _TOLERANCE * wanted.abs().amax():
        raise TypeError(f"{attention.path} must be the attention of a DiT: {type(module).__name__} computes another")


def _has(block: nn.Module, parts: tuple[str, ...]) -> bool:
    children = dict(block.named_modules())
    return all(part in children for part in parts)


def _layers(model: nn.Module, names: dict[str, str]) -> list[Layer]:
    """Layers whose path has a name; TypeError for one of a kind that is not known."""
    layers = []
    for path, module in model.named_modules():
        for pattern, name in names.items():
            match = re.fullmatch(pattern, path)
            if match is None:
                continue
            patches = name == "x_embedder.proj"
            if type(module) is not (nn.Conv2d if patches else nn.Linear):
                raise TypeError(
                    f"{path} must be a {'Conv2d' if patches else 'Linear'} of PyTorch, not {type(module).__name__}"
                )
            if patches and not _cuts_patches(module):
                raise TypeError(f"{path} must cut patches that do not overlap")
            layers.append(Layer(path=path, name=match.expand(name), module=module))
    return layers


def _cuts_patches(conv: nn.Module) -> bool:
    return (
        tuple(conv.stride) == tuple(conv.kernel_size)
        and tuple(conv.dilation) == (1, 1)
        and conv.groups == 1
        and conv.padding in (0, (0, 0), "valid")
    )


def _official_attention(path: str, number: int, block: nn.Module) -> Attention:
    module = block.attn
    heads = getattr(module, "num_heads", None)
    if not isinstance(heads, int) or heads < 1 or module.qkv.out_features % (3 * heads):
        raise TypeError(f"{path}.attn must have its number of heads as num_heads, not {heads!r}")
    return Attention(
        path=f"{path}.attn", name=f"blocks.{number}.attn", module=module, heads=heads, replacement=MXAttention
    )


def _diffusers_attention(path: str, number: int, block: nn.Module) -> Attention:
    module = block.attn1
    if getattr(block, "attn2", None) is not None:
        raise TypeError(f"{path} must have self-attention only, as in a DiT")
    for name in _OPTIONAL_OF_DIFFUSERS:
        if getattr(module, name, None):
            raise TypeError(f"{path}.attn1 must be a plain self-attention, without {name}")
    if getattr(module, "fused_projections", False):
        raise TypeError(f"{path}.attn1 must have separate projections: call unfuse_qkv_projections first")
    return Attention(
        path=f"{path}.attn1",
        name=f"blocks.{number}.attn",
        module=module,
        heads=module.heads,
        replacement=MXDiffusersAttention,
    )
