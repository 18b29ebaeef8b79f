"""Converter of FP32 words to blocks of MX9, MX6 or MX4."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIR_SIZE, PAIRS

from ..arith.maximum import Maximum
from ..params import ROUNDINGS, Params
from ..shapes import FORMAT_CODE_BITS, FP32_BITS, BlockBeatLayout
from ..stream import StreamRegister

FRACTION_BITS = 23
HALF = EXPONENT_BITS // 2
ROUNDING_BITS = 2
TRUNCATE = ROUNDINGS.index("truncate")
HALF_AWAY = ROUNDINGS.index("half-away")


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


class _WeighedLayout(data.StructLayout):
    """A block's exponents, and elements cut to what can reach a magnitude or its guard bit.

    ``upper_equal``: the exponent's upper half is that of the block's; ``upper_next``: it is one less; neither: the
    element is zero in every format. The significand's top bit is there for exact subnormals only: else it is 1.
    """

    def __init__(self, params: Params) -> None:
        element = data.StructLayout(
            {
                "sticky": 1,
                "significand": params.magnitude_bits + (params.subnormals == "exact"),
                "lower": HALF,
                "upper_equal": 1,
                "upper_next": 1,
                "sign": 1,
            }
        )
        super().__init__(
            {
                "exponent": EXPONENT_BITS,
                "micro": PAIRS,
                "elements": data.ArrayLayout(element, BLOCK_SIZE),
                "format": FORMAT_CODE_BITS,
                "rounding": ROUNDING_BITS,
            }
        )


class Converter(wiring.Component):
    """Converts 16 FP32 words a cycle to a block (docs/numerics.md, Conversion).

    The format is chosen for each block; a code of no supported format converts as the widest. Rounding is that
    of the parameter ``rounding``, or chosen for each block where that is ``runtime``; the parameters ``subnormals``
    and ``nonfinite`` say what becomes of such words. Magnitudes of narrower formats stand at the top.

    Two stages: the block's exponent and microexponents; alignment, rounding and saturation of the elements.
    Latency 2 cycles (``latency``); throughput one block a cycle, also under backpressure.

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
        self._shift_bits = params.magnitude_bits.bit_length()  # of shifts that leave more than the guard bit
        self._stages = (
            ("weighed", self._weigh, _WeighedLayout(params)),
            ("encoded", self._encode, BlockBeatLayout(1, params.magnitude_bits)),
        )

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        params = self._params
        return params.formats, params.rounding, params.subnormals, params.nonfinite

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of 16 words to the first cycle of their block."""
        return len(self._stages)

    def elaborate(self, platform) -> Module:
        m = Module()
        last = self.i
        for name, logic, layout in self._stages:
            m.submodules[name] = stage = StreamRegister(layout)
            logic(m, last.payload, stage.i.payload)
            m.d.comb += [stage.i.valid.eq(last.valid), last.ready.eq(stage.i.ready)]
            last = stage.o
        wiring.connect(m, last, wiring.flipped(self.o))
        return m

    def _weigh(self, m: Module, i, o) -> None:
        """Split the words, and find the shared exponent E and the microexponents D."""
        m.submodules.maximum = maximum = Maximum(EXPONENT_BITS, BLOCK_SIZE)
        shared = maximum.o
        next_lower = Signal(EXPONENT_BITS - HALF)  # one less than the upper half of E
        m.d.comb += [o.exponent.eq(shared), next_lower.eq(shared[HALF:] - 1), o.format.eq(i.format)]
        for k in range(BLOCK_SIZE):
            element = o.elements[k]
            exponent = self._split(m, i.words[k], element)
            alive = exponent.any() if self._params.subnormals == "flush" else 1
            m.d.comb += [
                maximum.i[k].eq(exponent),
                element.lower.eq(exponent[:HALF]),
                element.upper_equal.eq(maximum.upper_equal[k] & alive),
                element.upper_next.eq((exponent[HALF:] == next_lower) & alive),
            ]
        for j in range(PAIRS):
            m.d.comb += o.micro[j].eq(~maximum.equal[PAIR_SIZE * j :][:PAIR_SIZE].any())
        if self._params.rounding == "runtime":
            m.d.comb += o.rounding.eq(i.rounding)

    def _split(self, m: Module, word: Value, o) -> Value:
        """Split one word, with the options for subnormal and non-finite words; return its exponent."""
        fraction, exponent, sign = word[:FRACTION_BITS], word[FRACTION_BITS:-1], word[-1]
        if self._params.nonfinite == "saturate":
            special, nan, finite = Signal(), Signal(), Signal(FP32_BITS)
            largest = Cat(fraction | special.replicate(FRACTION_BITS), exponent[0] & ~special, exponent[1:], sign)
            m.d.comb += [
                special.eq(exponent.all()),
                nan.eq(special & fraction.any()),
                finite.eq(Mux(nan, 0, largest)),
            ]
            fraction, exponent, sign = finite[:FRACTION_BITS], finite[FRACTION_BITS:-1], finite[-1]
        significand = Cat(fraction, exponent.any())
        if self._params.subnormals == "exact":
            significand = Mux(exponent.any(), significand, fraction << 1)
        low = FRACTION_BITS - self._params.magnitude_bits
        m.d.comb += [
            o.sign.eq(sign),
            o.significand.eq(significand[low:]),
            o.sticky.eq(significand[:low].any()),
        ]
        return exponent

    def _encode(self, m: Module, i, o) -> None:
        """Make the magnitudes, and blank NaN blocks."""
        width = self._params.magnitude_bits
        nan = Signal()
        if self._params.nonfinite == "nan":
            m.d.comb += nan.eq(i.exponent.all())
        below = Signal(width)  # the magnitude bits that the format lacks
        for fmt in self._params.format_set:
            with m.If(i.format == fmt.code):
                m.d.comb += below.eq((1 << width - fmt.magnitude_bits) - 1)
        block = o.blocks[0]
        m.d.comb += [
            o.format.eq(i.format),
            block.exponent.eq(i.exponent),
            block.micro.eq(i.micro & ~nan.replicate(PAIRS)),
        ]
        rounding = i.rounding
        if self._params.rounding != "runtime":
            rounding = Const(ROUNDINGS.index(self._params.rounding), ROUNDING_BITS)
        for k in range(BLOCK_SIZE):
            element, encoded = i.elements[k], block.elements[k]
            distance, zero = Signal(HALF, name=f"distance{k}"), Signal(name=f"zero{k}")
            self._measure(m, i.exponent, i.micro[k // PAIR_SIZE], element, distance, zero)
            aligned, sticky = self._align(m, k, element, distance, zero | nan)
            m.d.comb += [
                encoded.magnitude.eq(self._round(m, k, aligned, sticky, below, rounding)),
                encoded.sign.eq(element.sign & ~nan),
            ]

    def _measure(self, m: Module, shared: Value, micro: Value, element, distance: Signal, zero: Signal) -> None:
        """How far an element is right of its pair's last place, E - D - e, or that it is out of reach.

        Of the difference only the lower half is computed; it is good if the upper halves of E and e are equal, or
        differ by one and the lower half borrows.
        """
        carry = Signal(name=f"{distance.name}_carry")  # no borrow
        near = Cat(carry, element.upper_next) == 0b10
        m.d.comb += [
            Cat(distance, carry).eq(shared[:HALF] + ~element.lower[:HALF] + ~micro),
            zero.eq(~(element.upper_equal | near) | distance[self._shift_bits :].any()),
        ]

    def _align(self, m: Module, k: int, element, distance: Value, zero: Value) -> tuple[Value, Value]:
        """Guard bit and magnitude of the widest format (shifted right, zero where told), and the sticky bit."""
        width = self._params.magnitude_bits + 1
        implied = [] if self._params.subnormals == "exact" else [Const(1)]
        shifted, sticky = Cat(element.significand, *implied), element.sticky
        for step in reversed(range(self._shift_bits)):
            amount = 1 << step
            before, shifted = shifted, Signal(width, name=f"shifted{k}_by{amount}")
            by = Signal(name=f"shift{k}_by{amount}")
            m.d.comb += [by.eq(distance[step] | zero), shifted.eq(Mux(by, before[amount:], before))]
            sticky = sticky | (by & before[:amount].any())
        # A shift by all steps leaves at most the guard bit, so zero takes one more gate only.
        return Cat(shifted[0] & ~zero, shifted[1:]), sticky

    def _round(self, m: Module, k: int, aligned: Value, sticky: Value, below: Value, rounding: Value) -> Value:
        """The magnitude, rounded to the format that lacks the bits `below` of it, and saturated."""
        width = self._params.magnitude_bits
        magnitude, lower = aligned[1:], aligned[:width]  # lower: the bit below each of the magnitude's
        place = ~below & Cat(1, below)  # one-hot: the format's last place
        truncate, away = rounding[TRUNCATE - 1], rounding[HALF_AWAY - 1]
        odd, guard = (magnitude & place).any(), (lower & place).any()
        up, full = Signal(name=f"up{k}"), Signal(width, name=f"full{k}")
        m.d.comb += [
            full.eq(magnitude | below),
            up.eq(guard & ~truncate & (away | sticky | (lower & below).any() | odd) & ~full.all()),
        ]
        return (full + up) & ~below
