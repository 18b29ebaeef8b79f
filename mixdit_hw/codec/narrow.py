"""Converter of FP32 words to blocks of MX9, MX6 or MX4, four words a cycle."""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIR_SIZE

from ..arith.maximum import Maximum
from ..params import Params
from ..shapes import FORMAT_CODE_BITS, FP32_BITS, ElementLayout
from .element import ROUNDING_BITS, Element, Reach, Rounder, align, split

PART = 4  # elements of a beat
PARTS = BLOCK_SIZE // PART  # beats of a block


class PartWordsLayout(data.StructLayout):
    """Four FP32 words of a block and how to convert it.

    Fields
    ------
    words : 4 x 32
        FP32 words, the first in the lowest bits.
    format : 2
        Format to convert the block to: 0 = MX4, 1 = MX6, 2 = MX9. That of the block's last beat counts.
    rounding : 2
        0 = nearest-even, 1 = truncate, 2 = half-away; 3 truncates. That of the block's last beat counts. Only where
        rounding is chosen at run time.
    """

    def __init__(self, params: Params) -> None:
        members = {"words": data.ArrayLayout(FP32_BITS, PART), "format": FORMAT_CODE_BITS}
        if params.rounding == "runtime":
            members["rounding"] = ROUNDING_BITS
        super().__init__(members)


class PartBlockLayout(data.StructLayout):
    """A quarter of a block.

    Fields
    ------
    exponent : 8
        Shared exponent, the same in the four beats of a block.
    micro : 2
        Microexponents of these elements; bit j is that of elements 2*j and 2*j + 1.
    elements : 4 x (magnitude_bits + 1)
        Of each its magnitude and, above it, its sign; magnitudes of narrower formats stand at the top.
    format : 2
        Format of the block: 0 = MX4, 1 = MX6, 2 = MX9.
    last : 1
        This is the block's last beat.
    """

    def __init__(self, magnitude_bits: int) -> None:
        super().__init__(
            {
                "exponent": EXPONENT_BITS,
                "micro": PART // PAIR_SIZE,
                "elements": data.ArrayLayout(ElementLayout(magnitude_bits), PART),
                "format": FORMAT_CODE_BITS,
                "last": 1,
            }
        )


class _SharedLayout(data.StructLayout):
    """What the elements of a block share."""

    def __init__(self, params: Params) -> None:
        members = {"exponent": EXPONENT_BITS, "format": FORMAT_CODE_BITS}
        if params.rounding == "runtime":
            members["rounding"] = ROUNDING_BITS
        super().__init__(members)


class NarrowConverter(wiring.Component):
    """Converts FP32 words to blocks, four words a cycle (docs/numerics.md, Conversion).

    A block comes in four beats and leaves in four. Its words wait for its exponent in a ring of registers that turns
    in every cycle, one place for each of the four: so a beat is taken in, and one given out, only while its place
    passes. Each place is filled again in the cycle in which it is emptied. That takes no multiplexer to hold a word,
    and costs nothing while both ends are willing; an end that is not makes a beat wait for the next turn, four cycles.

    The format is chosen for each block; a code of no supported format converts as the widest. Rounding is that of the
    parameter ``rounding``, or chosen for each block where that is ``runtime``; the parameters ``subnormals`` and
    ``nonfinite`` say what becomes of such words.

    Latency 5 cycles (``latency``), from a block's first words to its first elements; throughput four words a cycle.

    Parameters
    ----------
    params
        Of which ``formats``, ``rounding``, ``subnormals`` and ``nonfinite`` are used.

    Members
    -------
    i : In(stream of PartWordsLayout(params))
        Four words a beat, four beats a block.
    o : Out(stream of PartBlockLayout(params.magnitude_bits))
        Four elements a beat, in the order of the words.

    Raises
    ------
    TypeError
        ``params`` is no `Params`.
    """

    unit_name = "narrow_converter"
    latency = PARTS + 1

    def __init__(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise TypeError(f"params must be a Params, not {params!r}")
        super().__init__(
            {
                "i": In(stream.Signature(PartWordsLayout(params))),
                "o": Out(stream.Signature(PartBlockLayout(params.magnitude_bits))),
            }
        )
        self._params = params

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        params = self._params
        return params.formats, params.rounding, params.subnormals, params.nonfinite

    def elaborate(self, platform) -> Module:
        m = Module()
        place = Signal(range(PARTS))  # which one passes
        fill_wait, empty_wait = Signal(range(PARTS)), Signal(range(PARTS))  # how long ago passed the one that is due
        whole, begun = Signal(), Signal()  # a block waits to be given out; one has come in part
        free, idle, last = Signal(), Signal(), Signal()
        fills, completes, empties = Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            last.eq(place == PARTS - 1),
            self.i.ready.eq((fill_wait == 0) & (~whole | free | (empty_wait != 0))),
            fills.eq(self.i.ready & self.i.valid),
            completes.eq(fills & last),
            empties.eq(whole & free & (empty_wait == 0)),
            idle.eq(~whole & ~begun & ~fills),
        ]
        m.d.sync += [
            place.eq(Mux(idle, 0, place + 1)),
            fill_wait.eq(Mux(idle | fills, 0, fill_wait + 1)),
            empty_wait.eq(Mux(idle | empties, 0, empty_wait + 1)),
            begun.eq(Mux(fills, ~last, begun)),
            whole.eq(completes | (whole & ~(empties & last))),
            self.o.valid.eq(empties | ~free),
        ]

        words = [split(m, self._params, self.i.payload.words[k], f"word{k}") for k in range(PART)]
        m.submodules.maximum = maximum = Maximum(EXPONENT_BITS, PART + 1)
        so_far = Signal(EXPONENT_BITS)  # largest exponent of this block's earlier beats
        m.d.comb += [
            *(number.eq(word.exponent) for number, word in zip(maximum.i, words, strict=False)),
            maximum.i[PART].eq(so_far),
        ]
        shared = Signal(_SharedLayout(self._params), reset_less=True)  # of the block that waits
        with m.If(fills):
            m.d.sync += so_far.eq(Mux(completes, 0, maximum.o))
        with m.If(completes):
            m.d.sync += [shared.exponent.eq(maximum.o), shared.format.eq(self.i.payload.format)]
            if self._params.rounding == "runtime":
                m.d.sync += shared.rounding.eq(self.i.payload.rounding)
        waiting = self._wait(m, words, fills)
        leads = self._lead(m, maximum.equal, fills, place)
        self._encode(m, waiting, leads, shared, last=last, hold=~free)
        return m

    def _wait(self, m: Module, words: list[Element], fills: Value) -> list[Element]:
        """Put the words into the ring, as complements; return those whose place passes."""
        new = Cat(*(value for word in words for value in word))
        ring = [Signal(len(new), name=f"ring{k}", reset_less=True) for k in range(PARTS)]
        m.d.sync += [ring[0].eq(Mux(fills, ~new, ring[-1])), *(after.eq(before) for before, after in pairwise(ring))]
        passing, elements = ~ring[-1], []
        for word in words:
            values = []
            for value in word:
                values.append(passing[: len(value)])
                passing = passing[len(value) :]
            elements.append(Element(*values))
        return elements

    def _lead(self, m: Module, equal: Value, fills: Value, place: Value) -> Value:
        """Whether each pair whose place passes has an element of its block's exponent.

        A pair that leads its block so far is told so on its way into the ring, and loses that as soon as a later beat
        exceeds it.
        """
        pairs = PART // PAIR_SIZE
        new = Cat(equal[PAIR_SIZE * j :][:PAIR_SIZE].any() for j in range(pairs))
        ring = [Signal(pairs, name=f"leads{k}", reset_less=True) for k in range(PARTS)]
        exceeded = Signal()
        m.d.comb += exceeded.eq(fills & ~equal[PART])
        m.d.sync += ring[0].eq(Mux(fills, new, ring[-1]))
        for k, (before, after) in enumerate(pairwise(ring)):
            m.d.sync += after.eq(before & ~(exceeded & (place > k)).replicate(pairs))
        return ring[-1]

    def _encode(self, m: Module, elements: list[Element], leads: Value, shared: data.View, *, last: Value, hold: Value):
        """Align the elements, in registers, and round them."""
        params, o = self._params, self.o.payload
        real = Signal()
        m.d.comb += real.eq(~shared.exponent.all() if params.nonfinite == "nan" else 1)
        micro = ~leads
        signs = Cat(element.sign for element in elements) & real.replicate(PART)
        kept = Signal(
            data.StructLayout({"shared": shared.shape(), "micro": len(micro), "signs": PART, "last": 1}),
            reset_less=True,
        )
        with m.If(~hold):
            m.d.sync += [
                kept.shared.eq(shared),
                kept.micro.eq(micro & real.replicate(len(micro))),
                kept.signs.eq(signs),
                kept.last.eq(last),
            ]
        rounder = Rounder(m, params, kept.shared)
        reach = Reach(m, params, shared.exponent)
        m.d.comb += [
            o.exponent.eq(kept.shared.exponent),
            o.format.eq(kept.shared.format),
            o.micro.eq(kept.micro),
            o.last.eq(kept.last),
        ]
        for k, element in enumerate(elements):
            name = f"element{k}"
            distance, reached = reach.measure(m, element.exponent, micro[k // PAIR_SIZE], name)
            alive = Signal(name=f"{name}_alive")
            m.d.comb += alive.eq(reached & real & ~hold)
            aligned, sticky = align(m, params, element, distance, alive, hold, name)
            m.d.comb += [
                o.elements[k].magnitude.eq(rounder.round(m, aligned, sticky, name)),
                o.elements[k].sign.eq(kept.signs[k]),
            ]
