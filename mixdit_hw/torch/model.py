"""Quantizes a whole DiT in place, and restores it."""

from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from torch import nn

from golden.formats import Format
from golden.policy import PrecisionPolicy

from .convert import Options
from .layouts import Sites, find_sites
from .modules import HeadProducts, Weights, replace_layer, restore_layer
from .order import Order, stored_order


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A quantized model: which products are emulated. As a context manager it restores the model at the end.

    Parameters
    ----------
    model
        The model.
    policy
        Its policy.
    products
        Stored order of each linear layer that is emulated, by the module's path, and of each head product, by its
        name; there K stands for any number of channels.
    exempt
        Paths and names of those that are left as they were.
    """

    model: nn.Module
    policy: PrecisionPolicy
    products: dict[str, Order]
    exempt: tuple[str, ...]

    def restore(self) -> None:
        """Make the model what it was."""
        restore(self.model)

    def __enter__(self) -> "Quantized":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def __str__(self) -> str:
        counts = Counter(_formats(order) for order in self.products.values())
        lines = [f"{count} products {what}" for what, count in counts.items()]
        return "\n".join([*lines, f"{len(self.exempt)} products as they were"])


def _formats(order: Order) -> str:
    def text(formats: tuple[Format, ...]) -> str:
        return " + ".join(map(str, formats))

    return f"{text(order.formats_a)} by {text(order.formats_w)}"


def quantize_model(model: nn.Module, policy: PrecisionPolicy) -> Quantized:
    """Make the products of a DiT those of a policy, in place, for inference.

    Layers that the policy exempts stay as they are. Weights are converted now, once: write to none of them before
    `restore`. Inputs of any float type are widened to float32; a result has its input's type.

    Parameters
    ----------
    model
        A DiT of the official layout, or diffusers' ``DiTTransformer2DModel``; on any device, of any float type.
    policy
        Its precisions, under the names of `golden.dit`.

    Raises
    ------
    TypeError
        The model or one of its layers is of another kind.
    ValueError
        The policy names layers, channels or heads that the model does not have, or the model is quantized already.
    """
    if not isinstance(policy, PrecisionPolicy):
        raise TypeError(f"policy must be a PrecisionPolicy, not {type(policy).__name__}")
    sites = find_sites(model)
    sites.check(policy)
    try:
        products, exempt = _replace(sites, policy)
    except BaseException:
        restore(model)
        raise
    return Quantized(model=model, policy=policy, products=products, exempt=exempt)


def _replace(sites: Sites, policy: PrecisionPolicy) -> tuple[dict[str, Order], tuple[str, ...]]:
    orders: dict[str, Order | None] = {}
    for layer in sites.layers:
        order = orders[layer.path] = stored_order(policy, layer.name, layer.inputs)
        if order is not None:
            weights = Weights(layer.module.weight, order, Options(**policy.options))
            replace_layer(layer.module, layer.replacement, weights)
    for attention in sites.attentions:
        found = {name: stored_order(policy, name, 1) for name in attention.products()}
        orders |= found
        if any(order is not None for order in found.values()):
            device = next(attention.module.parameters()).device
            replace_layer(
                attention.module,
                attention.replacement,
                HeadProducts(policy, attention.name, attention.heads, device),
            )
    exempt = tuple(name for name, order in orders.items() if order is None)
    return {name: order for name, order in orders.items() if order is not None}, exempt


def restore(model: nn.Module) -> None:
    """Undo `quantize_model`; a model that is not quantized stays as it is."""
    for module in list(model.modules()):
        restore_layer(module)
