"""Converter of FP32 words to blocks of MX9, MX6 or MX4."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIR_SIZE, PAIRS

from ..arith.maximum import Maximum
from ..params import Params
from ..shapes import FORMAT_CODE_BITS, FP32_BITS, BlockBeatLayout
from .element import REACH_BITS, ROUNDING_BITS, Reach, Rounder, align, split


class WordsLayout(data.StructLayout):
    """16 FP32 words and how to convert them.

    Fields
    ------
    words : 16 x 32
        FP32 words, the first in the lowest bits.
    format : 2
        Format to convert them to: 0 = MX4, 1 = MX6, 2 = MX9.
    rounding : 2
        0 = nearest-even, 1 = truncate, 2 = half-away; 3 truncates. Only where rounding is chosen at run time.
    """

    def __init__(self, params: Params) -> None:
        members = {"words": data.ArrayLayout(FP32_BITS, BLOCK_SIZE), "format": FORMAT_CODE_BITS}
        if params.rounding == "runtime":
            members["rounding"] = ROUNDING_BITS
        super().__init__(members)


class _KeptLayout(data.StructLayout):
    """What a block is kept with besides its aligned elements."""

    def __init__(self, params: Params) -> None:
        members = {"exponent": EXPONENT_BITS, "micro": PAIRS, "signs": BLOCK_SIZE, "format": FORMAT_CODE_BITS}
        if params.rounding == "runtime":
            members["rounding"] = ROUNDING_BITS
        super().__init__(members)


class Converter(wiring.Component):
    """Converts 16 FP32 words a cycle to a block (docs/numerics.md, Conversion).

    The format is chosen for each block; a code of no supported format converts as the widest. Rounding is that
    of the parameter ``rounding``, or chosen for each block where that is ``runtime``; the parameters ``subnormals``
    and ``nonfinite`` say what becomes of such words. Magnitudes of narrower formats stand at the top.

    One stage of registers, where the fewest bits cross: before it the block's exponent and microexponents are found and
    the elements aligned, behind it they are rounded. So the outputs come out of logic, as the inputs go into it.

    Latency one cycle (``latency``); throughput one block a cycle, also under backpressure.

    Parameters
    ----------
    params
        Of which ``formats``, ``rounding``, ``subnormals`` and ``nonfinite`` are used.

    Members
    -------
    i : In(stream of WordsLayout(params))
        Words of one block a beat.
    o : Out(stream of BlockBeatLayout(1, params.magnitude_bits))
        One block a beat, in the order of the words.

    Raises
    ------
    TypeError
        ``params`` is no `Params`.
    """

    unit_name = "converter"
    latency = 1  # cycles from the acceptance of 16 words to the first cycle of their block

    def __init__(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise TypeError(f"params must be a Params, not {params!r}")
        super().__init__(
            {
                "i": In(stream.Signature(WordsLayout(params))),
                "o": Out(stream.Signature(BlockBeatLayout(1, params.magnitude_bits))),
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
        hold = Signal()
        m.d.comb += [hold.eq(self.o.valid & ~self.o.ready), self.i.ready.eq(~hold)]
        m.d.sync += self.o.valid.eq(self.i.valid | hold)
        self._convert(m, self.i.payload, self.o.payload, hold)
        return m

    def _convert(self, m: Module, i, o, hold: Signal) -> None:
        """Find E and D, align the elements to them, in registers, and round them."""
        params = self._params
        elements = [split(m, params, i.words[k], f"word{k}") for k in range(BLOCK_SIZE)]
        m.submodules.maximum = maximum = Maximum(EXPONENT_BITS, BLOCK_SIZE, REACH_BITS)
        m.d.comb += [number.eq(element.exponent) for number, element in zip(maximum.i, elements, strict=True)]
        shared, micro, signs = maximum.o, Signal(PAIRS), Signal(BLOCK_SIZE)
        finite, load = Signal(), Signal()  # no NaN block; and it is taken in
        m.d.comb += [
            micro.eq(Cat(~maximum.equal[PAIR_SIZE * j :][:PAIR_SIZE].any() for j in range(PAIRS))),
            signs.eq(Cat(element.sign for element in elements)),
            finite.eq(~shared.all() if params.nonfinite == "nan" else 1),
            load.eq(finite & ~hold),
        ]
        kept = Signal(_KeptLayout(params), reset_less=True)
        with m.If(~hold):
            m.d.sync += [
                kept.exponent.eq(shared),
                kept.micro.eq(micro & finite.replicate(PAIRS)),
                kept.format.eq(i.format),
            ]
            if params.rounding == "runtime":
                m.d.sync += kept.rounding.eq(i.rounding)
        m.d.sync += kept.signs.eq((signs & load.replicate(BLOCK_SIZE)) | (kept.signs & hold.replicate(BLOCK_SIZE)))

        block = o.blocks[0]
        m.d.comb += [o.format.eq(kept.format), block.exponent.eq(kept.exponent), block.micro.eq(kept.micro)]
        rounder = Rounder(m, params, kept)
        reach = Reach(m, params, shared)
        for k, element in enumerate(elements):
            name, alive = f"element{k}", Signal(name=f"element{k}_alive")
            distance, reached = reach.measure(
                m, element.exponent, micro[k // PAIR_SIZE], name, equal=maximum.upper_equal[k]
            )
            m.d.comb += alive.eq(reached & load)
            aligned, sticky = align(m, params, element, distance, alive, hold, name)
            m.d.comb += [
                block.elements[k].magnitude.eq(rounder.round(m, aligned, sticky, name)),
                block.elements[k].sign.eq(kept.signs[k]),
            ]
