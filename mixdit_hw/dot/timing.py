"""Latencies of the engine's parts, and what follows from them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Cycles that each part of a dot engine takes.

    Parameters
    ----------
    lanes, block_sum, normalise, adder
        Of `Lanes`, `BlockSum`, `Normalise` and `FP32Add`. The adder's are those of the accumulation loop.
    """

    lanes: int
    block_sum: int
    normalise: int
    adder: int

    @property
    def w_micro(self) -> int:
        """Cycles by which W's microexponents are needed after its digits."""
        return self.lanes - 1

    @property
    def micro(self) -> int:
        """Likewise A's microexponents, after A's digits."""
        return self.lanes

    @property
    def block(self) -> int:
        """Likewise ``first`` and ``shift``."""
        return self.lanes

    @property
    def exponent(self) -> int:
        """Likewise shared exponents."""
        return self.lanes + self.block_sum

    @property
    def start(self) -> int:
        """Likewise ``start``."""
        return self.exponent + self.normalise

    @property
    def end(self) -> int:
        """Likewise ``end``."""
        return self.start + self.adder

    @property
    def latency(self) -> int:
        """Cycles from the digits of an output's last pass to its result in the chain."""
        return self.end + 1


# By the accumulation loop's latency.
TIMINGS = {
    4: Timing(lanes=1, block_sum=2, normalise=2, adder=4),
    8: Timing(lanes=2, block_sum=3, normalise=3, adder=8),
}


def timing_of(loop_latency: int) -> Timing:
    """Timing of an engine whose accumulation loop takes so many cycles; ValueError where there is none."""
    try:
        return TIMINGS[loop_latency]
    except KeyError:
        raise ValueError(f"loop_latency must be one of {', '.join(map(str, TIMINGS))}, not {loop_latency}") from None
