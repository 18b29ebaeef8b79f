"""The output stage of one column: scale, bias, and rounding to BF16."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith.fp32_add import FP32Add
from ..arith.fp32_multiply import FP32Multiply
from ..arith.register import register

BF16_BITS = 16
_MULTIPLIER_LATENCY = {4: 6, 8: 9}  # by that of the adder


def scale_latency(loop_latency: int) -> int:
    """Cycles of `ScaleBias`: of multiplier, adder and rounding."""
    return _MULTIPLIER_LATENCY[loop_latency] + loop_latency + 1


class ScaleBias(wiring.Component):
    """``y = FTZ(RN32(FTZ(RN32(acc * scale)) + bias))``, and y rounded to BF16 (docs/numerics.md, Output).

    A scale of 1 and a bias of +0 change nothing, so that a step that is left out needs no switch.

    Latency: 6 + 4 + 1 cycles of multiplier, adder and rounding, or 9 + 8 + 1 (``latency``). Throughput: one word per
    cycle. There are no stalls: who feeds it keeps room for what is under way.

    Parameters
    ----------
    loop_latency
        Of the array's accumulation, 4 or 8: how finely this is pipelined, too.

    Members
    -------
    acc : In(32)
        Result of the array, FP32.
    scale, bias : In(32)
        FP32, in the same cycle. Subnormal ones count as +0; a NaN bias must be 0x7FC00000.
    y : Out(32)
        FP32.
    bf16 : Out(16)
        The same in BF16: rounded to nearest even, overflow to Inf, NaN as 0x7FC0.

    Raises
    ------
    ValueError
        ``loop_latency`` is neither 4 nor 8.
    """

    unit_name = "scale_bias"

    def __init__(self, loop_latency: int = 4) -> None:
        if loop_latency not in _MULTIPLIER_LATENCY:
            raise ValueError(f"loop_latency must be 4 or 8, not {loop_latency}")
        self._loop_latency = loop_latency
        super().__init__({name: In(32) for name in ("acc", "scale", "bias")} | {"y": Out(32), "bf16": Out(BF16_BITS)})

    @property
    def unit_key(self) -> tuple:
        return (("loop", self._loop_latency),)

    @property
    def latency(self) -> int:
        """Cycles from ``acc`` to ``y``."""
        return scale_latency(self._loop_latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.multiplier = multiplier = FP32Multiply(_MULTIPLIER_LATENCY[self._loop_latency])
        m.submodules.adder = adder = FP32Add(self._loop_latency)
        late = register(m, self.bias, "bias_late", multiplier.latency)
        subnormal = ~late[23:31].any()
        m.d.comb += [
            multiplier.a.eq(self.acc),
            multiplier.b.eq(self.scale),
            adder.a.eq(late & ~subnormal.replicate(32)),
            adder.b.eq(multiplier.o),
        ]
        # A sum is never subnormal; a fraction of ones that rounds up carries into the exponent, up to Inf. The fraction
        # of NaN does not round.
        y = adder.o
        rounded = Signal(BF16_BITS)
        m.d.comb += rounded.eq(y[BF16_BITS:] + (y[15] & (y[16] | y[:15].any())))
        m.d.comb += [self.y.eq(register(m, y, "sum")), self.bf16.eq(register(m, rounded, "rounded"))]
        return m
