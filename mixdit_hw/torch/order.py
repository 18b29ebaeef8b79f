"""Stored order of a product under a policy: which channels each segment holds, and their formats."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from golden.formats import Format
from golden.policy import PrecisionPolicy


@dataclass(frozen=True, kw_only=True)
class Order:
    """Segments of a product's operands.

    Parameters
    ----------
    k
        Channels.
    formats_a, formats_w
        Format of each segment, one or two.
    outliers
        Outlier channels, ascending.
    gathered
        Whether the first segment has only the other channels, instead of all with those of A cleared.
    """

    k: int
    formats_a: tuple[Format, ...]
    formats_w: tuple[Format, ...]
    outliers: tuple[int, ...]
    gathered: bool

    @property
    def lengths(self) -> tuple[int, ...]:
        """K positions of the segments."""
        first = self.k - len(self.outliers) if self.gathered else self.k
        return tuple(length for length in (first, len(self.outliers)) if length)

    def indices(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """The outlier channels and the others, int64."""
        chosen = np.array(self.outliers, np.int64)
        others = np.setdiff1d(np.arange(self.k), chosen)
        return torch.from_numpy(chosen).to(device), torch.from_numpy(others).to(device)

    def parts_of_a(self, x: Tensor, index: Tensor, others: Tensor) -> list[tuple[Tensor, Format]]:
        """Segments of A (B, M, K), from what `indices` gives."""
        first = x if not self.outliers or self.gathered else x.index_fill(-1, index, 0)
        return self._parts(x, first, index, others, self.formats_a)

    def parts_of_w(self, x: Tensor, index: Tensor, others: Tensor) -> list[tuple[Tensor, Format]]:
        """Segments of W, as (B, N, K)."""
        return self._parts(x, x, index, others, self.formats_w)

    def _parts(
        self, x: Tensor, first: Tensor, index: Tensor, others: Tensor, formats: tuple[Format, ...]
    ) -> list[tuple[Tensor, Format]]:
        if not self.outliers:
            return [(x, formats[0])]
        if self.gathered:
            first = x.index_select(-1, others)
        parts = [part for part in (first, x.index_select(-1, index)) if part.shape[-1]]
        return list(zip(parts, formats, strict=True))


def stored_order(policy: PrecisionPolicy, name: str, k: int) -> Order | None:
    """Stored order of the product of that name over K channels; None for the exempt.

    Raises ValueError for an outlier that is none of the channels. The formats are those of the policy's own conversion.
    """
    if policy.is_exempt(name):
        return None
    a = policy.quantize_a(name, np.zeros((1, k), np.float32))
    w = policy.quantize_w(name, np.zeros((k, 1), np.float32))
    order = Order(
        k=k,
        formats_a=tuple(s.format for s in a.segments),
        formats_w=tuple(s.format for s in w.segments),
        outliers=policy.outliers.get(name, ()) if len(a.segments) > 1 else (),
        gathered=policy.order == "gathered",
    )
    for t in (a, w):
        if tuple(s.length for s in t.segments) != order.lengths:
            raise ValueError(f"policy must have a stored order known here for {name!r}, not {t.segments}")
    return order
