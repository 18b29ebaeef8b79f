"""From pair sums to the exact integer dot product of a block pair, over its digit passes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import DIGIT_BITS, PAIRS

from ..arith.compress import carry_save, chain_save
from ..arith.register import cut, register
from .lanes import PAIR_BITS
from .timing import Timing

TREES = {"compressors": carry_save, "chains": chain_save}
HIGH_BITS = 16  # holds 27 664, the largest partial sum of four passes, with its sign


class BlockSum(wiring.Component):
    """Shift the pair sums by A's microexponents, add them, and add up the passes of T interleaved outputs.

    The passes of a block pair come T cycles apart, low digits first. The running sum of each output rides in a ring of
    T registers: ``high`` is added to, ``low`` takes the digits that a shift moves out of it, so that
    high * 2^(bits of low) + low is the exact sum. Where a format has no low digits ``low`` stays zero, so one exponent
    rule serves all formats: the block's value is that sum times 2^(Ea + Ew - 254 - 8*digits).

    Latency: ``timing.block_sum`` cycles. Throughput: one pass per cycle.

    Parameters
    ----------
    timing
        Of the engine.
    interleave
        T, the cycles from one pass of an output to its next, more than ``timing.block_sum``.
    digits
        Digits of the widest format, 1 or 2.
    tree
        How words are added up: ``compressors``, or carry ``chains``, for FPGAs.

    Members
    -------
    pairs, signs : In
        Pair sums and their signs, as the lanes give them.
    a_micro : In(8)
        A's microexponents, in the same cycle as the pair sums.
    first : In(1)
        This pass starts a block: the running sum is dropped. Otherwise it is kept, also in a bubble (zero pairs).
    shift : In(1)
        The running sum weighs 1/16 from this pass on.
    high : Out(16)
        Running sum with this pass, two's complement.
    low : Out(8*(digits-1))
        What shifts have moved out of it.
    """

    def __init__(self, timing: Timing, interleave: int, digits: int, tree: str = "compressors") -> None:
        if tree not in TREES:
            raise ValueError(f"tree must be one of {', '.join(TREES)}, not {tree!r}")
        self._timing = timing
        self._tree = tree
        self._interleave = interleave
        self._low_bits = 2 * DIGIT_BITS * (digits - 1)
        super().__init__(
            {
                "pairs": In(data.ArrayLayout(PAIR_BITS, PAIRS)),
                "signs": In(PAIRS),
                "a_micro": In(PAIRS),
                "first": In(1),
                "shift": In(1),
                "high": Out(HIGH_BITS),
                "low": Out(self._low_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # The running sum of the output whose turn it is: `high` and `low`, which together come round in T cycles.
        ring_high = register(m, self.high, "ring_high", self._interleave - self._timing.block_sum)
        ring_low = register(m, self.low, "ring_low", self._interleave - self._timing.block_sum)
        running, low = Signal(HIGH_BITS), Signal(self._low_bits)
        moved = Cat(ring_low, ring_high)[DIGIT_BITS:]
        moved_low, moved_high = moved[: self._low_bits], moved[self._low_bits :]
        with m.If(self.first):
            m.d.comb += [running.eq(0), low.eq(0)]
        with m.Elif(self.shift):
            m.d.comb += [running.eq(Cat(moved_high, ring_high[-1].replicate(DIGIT_BITS))), low.eq(moved_low)]
        with m.Else():
            m.d.comb += [running.eq(ring_high), low.eq(ring_low)]

        # Each pair times 1 or 2 by A's microexponent. Where it is one too low, a one is shifted in, so that it stays
        # one too low, and the one is added as a carry. Signs are not extended: the inverted sign bit is a word's value
        # plus 2^11, and the eight 2^11 are taken off the running sum.
        words: list[Value] = []
        for j in range(PAIRS):
            pair = self.pairs[j]
            word = Mux(self.a_micro[j], Cat(pair, pair[-1]), Cat(self.signs[j], pair))
            words.append(Cat(word[:-1], ~word[-1]))
        top = running[-2:]
        words.append(Cat(running[:-2], ~top[0], ~(top[1] ^ top[0])))  # running - 2^14

        save, carry = TREES[self._tree](m, words, HIGH_BITS, list(self.signs[1:]))
        s = cut(m, "_tree", save=save, carry=carry, carry_in=self.signs[0], low=low)
        # The addition, in two halves where there are cycles for it.
        half, long = HIGH_BITS // 2, self._timing.block_sum > 2
        total = (Cat(s.carry_in, s.save[:half]) + Cat(s.carry_in, s.carry[:half]))[1 : half + 2]
        s = cut(m, "_half", long, total=total, save=s.save[half:], carry=s.carry[half:], low=s.low)
        upper = (Cat(s.total[half], s.save) + Cat(s.total[half], s.carry))[1 : half + 1]
        s = cut(m, "_total", high=Cat(s.total[:half], upper), low=s.low)
        m.d.comb += [self.high.eq(s.high), self.low.eq(s.low)]
        return m
