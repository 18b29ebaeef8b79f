"""Quantities as text, with as many digits as small ones need."""


def number(value: float, decimals: int) -> str:
    """With so many decimals, or three digits of a number below 0.1."""
    return f"{value:,.{decimals}f}" if abs(value) >= 0.1 else f"{value:.3g}"


def milliseconds(seconds: float) -> str:
    """Seconds, as ms."""
    return f"{number(1e3 * seconds, 3)} ms"


def cycles(count: int) -> str:
    """Clock cycles, as M where there are enough of them."""
    return f"{count / 1e6:,.2f} M" if count >= 1e6 else f"{count:,}"


def macs(count: int) -> str:
    """Multiplications, as G where there are enough of them."""
    return f"{count / 1e9:,.1f} G" if count >= 1e9 else f"{count:,}"


def megabytes(count: int) -> str:
    """Bytes, as MB where there are enough of them."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count:,} bytes"


def speedup(ratio: float) -> str:
    """How many times as fast."""
    return number(ratio, 2)
