"""From pair sums to the exact integer dot product of a block pair, over its digit passes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import DIGIT_BITS, PAIRS

from ..arith.carry_save import carry_save
from ..arith.register import register
from .lanes import PAIR_BITS

HIGH_BITS = 16  # holds 27 664, the largest partial sum of four passes, with its sign


class BlockSum(wiring.Component):
    """Shift the pair sums by their microexponents, add them, and add up the passes of T interleaved outputs.

    The passes of a block pair come T cycles apart, low digits first. The running sum of each output rides in a ring of
    T registers: ``high`` is added to, ``low`` takes the digits that a shift moves out of it, so that
    high * 2^(bits of low) + low is the exact sum. Where a format has no low digits ``low`` stays zero, so one exponent
    rule serves all formats: the block's value is that sum times 2^(Ea + Ew - 254 - 8*digits).

    Latency: 2 cycles. Throughput: one pass per cycle.

    Parameters
    ----------
    interleave
        T, the cycles from one pass of an output to its next, at least 4.
    digits
        Digits of the widest format, 1 or 2.

    Members
    -------
    pairs, signs : In
        Pair sums and their signs, as the lanes give them.
    a_micro, w_micro : In(8)
        Microexponents, in the same cycle as the pair sums.
    first : In(1)
        This pass starts a block: the running sum is dropped. Otherwise it is kept, also in a bubble (zero pairs).
    shift : In(1)
        The running sum weighs 1/16 from this pass on.
    high : Out(16)
        Running sum with this pass, two's complement.
    low : Out(8*(digits-1))
        What shifts have moved out of it.
    """

    latency = 2

    def __init__(self, interleave: int, digits: int) -> None:
        self._interleave = interleave
        self._low_bits = 2 * DIGIT_BITS * (digits - 1)
        super().__init__(
            {
                "pairs": In(data.ArrayLayout(PAIR_BITS, PAIRS)),
                "signs": In(PAIRS),
                "a_micro": In(PAIRS),
                "w_micro": In(PAIRS),
                "first": In(1),
                "shift": In(1),
                "high": Out(HIGH_BITS),
                "low": Out(self._low_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # The running sum of the output whose turn it is: `high` and `low` as they were T-2 cycles ago.
        ring_high = register(m, self.high, "ring_high", self._interleave - self.latency)
        ring_low = register(m, self.low, "ring_low", self._interleave - self.latency)
        running, low = Signal(HIGH_BITS), Signal(self._low_bits)
        moved = Cat(ring_low, ring_high)[DIGIT_BITS:]
        moved_low, moved_high = moved[: self._low_bits], moved[self._low_bits :]
        with m.If(self.first):
            m.d.comb += [running.eq(0), low.eq(0)]
        with m.Elif(self.shift):
            m.d.comb += [running.eq(Cat(moved_high, ring_high[-1].replicate(DIGIT_BITS))), low.eq(moved_low)]
        with m.Else():
            m.d.comb += [running.eq(ring_high), low.eq(ring_low)]

        # Each pair times 1, 2 or 4. Where it is one too low, ones are shifted in, so that it stays one too low, and the
        # one is added as a carry. Signs are not extended: the inverted sign bit is a word's value plus 2^11, and the
        # eight 2^11 are taken off the running sum.
        words: list[Value] = []
        for j in range(PAIRS):
            pair = self.pairs[j]
            doubled = Mux(self.a_micro[j], Cat(pair, pair[-1]), Cat(self.signs[j], pair))
            word = Mux(self.w_micro[j], Cat(doubled, doubled[-1]), Cat(self.signs[j], doubled))
            words.append(Cat(word[:-1], ~word[-1]))
        top = running[-2:]
        words.append(Cat(running[:-2], ~top[0], ~(top[1] ^ top[0])))  # running - 2^14

        save_next, carry_next = carry_save(m, words, HIGH_BITS, list(self.signs[1:]))
        save, carry = register(m, save_next, "save"), register(m, carry_next, "carry")
        carry_in = register(m, self.signs[0], "carry_in")
        total = (Cat(carry_in, save) + Cat(carry_in, carry))[1 : HIGH_BITS + 1]
        m.d.comb += [
            self.high.eq(register(m, total, "total_high")),
            self.low.eq(register(m, low, "total_low", self.latency)),
        ]
        return m
