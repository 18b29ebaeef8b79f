"""Designs by name; the command line offers exactly these."""

from .params import Params

# Finely pipelined, in tall clusters: A's memories hold what rows work after each other, T-1 cycles per cluster. A slot
# of the operand buffers holds the 288 K blocks of the longest product of DiT-XL, and outlier channels beside them.
_FINE = Params(
    share_rows=4,
    loop_latency=8,
    interleave=8,
    a_depth=64,
    w_depth=4,
    c_depth=64,
    outlier_depth=16,
    axi_width=512,
    k_depth=512,
    read_depth=128,
)

PRESETS: dict[str, Params] = {
    "tiny": Params(rows=2, columns=2, a_depth=16, w_depth=4, c_depth=32),
    "small": Params(rows=4, columns=4, a_depth=16, w_depth=4, c_depth=64),
    "edge": _FINE.replace(rows=8, columns=8, drain=2, a_depth=32),
    "base": _FINE.replace(rows=16, columns=16, drain=4),
}

__all__ = ["PRESETS", "get_preset"]


def get_preset(name: str) -> Params:
    """Return the preset of that name; ValueError for any other name."""
    try:
        return PRESETS[name]
    except (KeyError, TypeError):
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}") from None
