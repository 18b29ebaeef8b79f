"""Compaction of marked words into full blocks."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE

from ..shapes import FP32_BITS

INDEX_BITS = BLOCK_SIZE.bit_length() - 1


class Compactor(wiring.Component):
    """Collects the marked ones of 16 words a cycle, in order, into blocks of 16.

    Held words stand in slots 0 to ``count`` - 1. Each marked word goes to the slot after those before it, modulo 16,
    through four stages of exchanges between slots that differ in one bit of their number, lowest bit first. Two
    words never want the same place: those that still share their upper bits were less than a group of slots apart
    when they entered, so that their destinations, which lie no further apart, differ in the bits settled by then.

    Latency none to ``full`` and ``block`` (`latency`), one cycle to ``count`` and ``rest``. Throughput 16 words
    a cycle.

    Members
    -------
    words : In(ArrayLayout(32, 16))
        The 16 words of this cycle, the first in the lowest bits.
    mask : In(16)
        Words to collect.
    enable : In(1)
        Collect them at the end of this cycle.
    clear : In(1)
        Forget the held words at the end of this cycle; not together with ``enable``.
    full : Out(1)
        The held words and the marked ones fill a block, which leaves as ``block`` if ``enable`` is given.
    block : Out(ArrayLayout(32, 16))
        A whole block, while ``full``.
    count_next : Out(4)
        What ``count`` will be if ``enable`` is given.
    count : Out(4)
        Words held.
    rest : Out(ArrayLayout(32, 16))
        The words held, padded with +0.
    """

    unit_name = "compactor"
    unit_key: tuple = ()
    latency = 0

    def __init__(self) -> None:
        words = data.ArrayLayout(FP32_BITS, BLOCK_SIZE)
        super().__init__(
            {
                "words": In(words),
                "mask": In(BLOCK_SIZE),
                "enable": In(1),
                "clear": In(1),
                "full": Out(1),
                "block": Out(words),
                "count_next": Out(INDEX_BITS),
                "count": Out(INDEX_BITS),
                "rest": Out(words),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        slots, total = self._destinations(m)
        m.d.comb += Cat(self.count_next, self.full).eq(total)
        valid, words, wrapped = list(self.mask), list(self.words), [slot[INDEX_BITS] for slot in slots]
        for bit in range(INDEX_BITS):
            valid, words, wrapped, slots = self._exchange(m, bit, valid, words, wrapped, slots)

        held = [Signal(FP32_BITS, name=f"held{k}") for k in range(BLOCK_SIZE)]
        for k in range(BLOCK_SIZE):
            m.d.comb += self.block[k].eq(Mux(valid[k] & ~wrapped[k], words[k], held[k]))
            if k < BLOCK_SIZE - 1:  # the last slot is held only when a block is full
                m.d.comb += self.rest[k].eq(Mux(k < self.count, held[k], 0))
            with m.If(self.enable & valid[k]):
                m.d.sync += held[k].eq(words[k])
        with m.If(self.clear):
            m.d.sync += self.count.eq(0)
        with m.Elif(self.enable):
            m.d.sync += self.count.eq(self.count_next)
        return m

    def _destinations(self, m: Module) -> tuple[list[Value], Value]:
        """Each word's slot, past 15 those of the next block, and how many words there are with the held ones."""
        sums: list[Value] = list(self.mask)  # marked words from the first to this one, by doubling reach
        reach = 1
        while reach < BLOCK_SIZE:
            wider = [Signal(INDEX_BITS + 1, name=f"marked{reach}_{k}") for k in range(BLOCK_SIZE)]
            for k in range(BLOCK_SIZE):
                m.d.comb += wider[k].eq(sums[k] + sums[k - reach] if k >= reach else sums[k])
            sums, reach = wider, 2 * reach
        slots = [Signal(INDEX_BITS + 1, name=f"slot{k}") for k in range(BLOCK_SIZE + 1)]
        m.d.comb += slots[0].eq(self.count)
        m.d.comb += [slots[k + 1].eq(self.count + sums[k]) for k in range(BLOCK_SIZE)]
        return slots[:-1], slots[-1]

    def _exchange(self, m: Module, bit: int, valid, words, wrapped, slots):
        """One stage: every word goes to the place whose number agrees with its slot's in this bit."""
        out = [
            (
                Signal(name=f"valid{bit}_{k}"),
                Signal(FP32_BITS, name=f"word{bit}_{k}"),
                Signal(name=f"wrapped{bit}_{k}"),
                Signal(INDEX_BITS, name=f"slot{bit}_{k}"),
            )
            for k in range(BLOCK_SIZE)
        ]
        for k, (out_valid, out_word, out_wrapped, out_slot) in enumerate(out):
            other, high = k ^ 1 << bit, k >> bit & 1
            crosses = valid[other] & (slots[other][bit] == high)
            stays = valid[k] & (slots[k][bit] == high)
            m.d.comb += [
                out_valid.eq(stays | crosses),
                out_word.eq(Mux(crosses, words[other], words[k])),
                out_wrapped.eq(Mux(crosses, wrapped[other], wrapped[k])),
                out_slot.eq(Mux(crosses, slots[other], slots[k])),
            ]
        return tuple(map(list, zip(*out, strict=True)))
