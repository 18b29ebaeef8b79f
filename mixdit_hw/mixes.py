"""Which part of a matrix product is multiplied in which formats: segments of K, and the mixes that give them."""

import re
from dataclasses import dataclass
from fractions import Fraction

from golden.formats import BLOCK_SIZE, FORMATS, Format

ORDERS = ("in-place", "gathered")
_AMOUNT = re.compile(r"(\d{1,9})|(\d{1,3}(?:\.\d{1,9})?)%", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Neighbouring K positions of one pair of formats, padded to whole blocks.

    Parameters
    ----------
    a, w
        Formats of the two operands, ``mx9``, ``mx6`` or ``mx4``.
    k
        K positions, without padding.

    Raises
    ------
    ValueError
        An unknown format, or fewer than 1 position.
    """

    a: str
    w: str
    k: int

    def __post_init__(self) -> None:
        for name in ("a", "w"):
            if getattr(self, name) not in FORMATS:
                raise ValueError(f"{name} must be one of {', '.join(FORMATS)}, not {getattr(self, name)!r}")
        check_positive("k", self.k)

    @property
    def formats(self) -> tuple[Format, Format]:
        """Descriptors of A's and W's format."""
        return FORMATS[self.a], FORMATS[self.w]

    @property
    def pair(self) -> str:
        """Both formats in short, A's first: ``9x6``."""
        return f"{self.a.removeprefix('mx')}x{self.w.removeprefix('mx')}"

    @property
    def blocks(self) -> int:
        """K blocks of 16."""
        return -(-self.k // BLOCK_SIZE)

    @property
    def passes(self) -> int:
        """Digit passes of each block: the product of both formats' 4-bit digits."""
        a, w = self.formats
        return a.digits * w.digits


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Which part of a model is multiplied in which formats.

    Parameters
    ----------
    outliers
        Outlier channels of each linear layer: a number, or ``"P%"`` of its K channels, rounded down.
    heads
        Heads of each attention in the wider formats.
    inlier, weight, outlier, outlier_weight
        Formats in linear layers; inlier and weight hold for the products of the other heads too (Q, K, A and V all
        have the inlier's format).
    head_v
        Format of V in the wider heads; Q, K and A there have the outlier's.
    order
        ``in-place`` (outliers follow once more, after all K positions) or ``gathered`` (they are taken out).

    Raises
    ------
    ValueError
        A value is out of range.
    """

    outliers: int | str = 0
    heads: int = 0
    inlier: str = "mx6"
    weight: str = "mx6"
    outlier: str = "mx9"
    outlier_weight: str = "mx6"
    head_v: str = "mx6"
    order: str = "in-place"

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")
        if not isinstance(self.heads, int) or self.heads < 0:
            raise ValueError(f"heads must be at least 0, not {self.heads!r}")
        for name in ("inlier", "weight", "outlier", "outlier_weight", "head_v"):
            if getattr(self, name) not in FORMATS:
                raise ValueError(f"{name} must be one of {', '.join(FORMATS)}, not {getattr(self, name)!r}")
        self.outlier_channels(1 << 31)

    def outlier_channels(self, k: int, of: str = "") -> int:
        """Outliers among K channels, of a layer of that name: the number, or the share rounded down.

        Raises
        ------
        ValueError
            The number is more than K.
        """
        match = _AMOUNT.fullmatch(str(self.outliers))
        if match is None or (match[2] and Fraction(match[2]) > 100):
            text = "outliers must be a number of channels or a percentage such as 1.5%"
            raise ValueError(f"{text}, not {self.outliers!r}")
        number = int(match[1]) if match[1] else int(Fraction(match[2]) * k / 100)
        if number > k:
            raise ValueError(f"outliers must be at most K={k}{f' of {of}' if of else ''}, not {number}")
        return number

    def linear(self, k: int, of: str = "") -> tuple[Segment, ...]:
        """Segments of a linear layer of K channels and of that name; as `outlier_channels`."""
        outliers = self.outlier_channels(k, of)
        inliers = k if self.order == "in-place" else k - outliers
        segments = []
        if inliers:
            segments.append(Segment(a=self.inlier, w=self.weight, k=inliers))
        if outliers:
            segments.append(Segment(a=self.outlier, w=self.outlier_weight, k=outliers))
        return tuple(segments)


MIXES = {
    "mx6": Mix(),
    "mx9": Mix(inlier="mx9", weight="mx9", head_v="mx9"),
}


def check_positive(name: str, value: int) -> None:
    """Raise TypeError for what is no integer, and ValueError for one below 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
