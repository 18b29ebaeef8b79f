"""Converter of FP32 words to blocks of MX9, MX6 or MX4."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIR_SIZE, PAIRS

from ..arith.maximum import Maximum
from ..params import ROUNDINGS, Params
from ..shapes import FORMAT_CODE_BITS, FP32_BITS, BlockBeatLayout
from ..stream import StreamRegister

FRACTION_BITS = 23
ROUNDING_BITS = 2
TRUNCATE = ROUNDINGS.index("truncate")
HALF_AWAY = ROUNDINGS.index("half-away")


class WordsLayout(data.StructLayout):
    """16 FP32 words and the format to convert them to (`Format.code`).

    ``rounding`` is there for converters with a rounding input: 0 nearest-even, 1 truncate, 2 half-away (the
    place in `ROUNDINGS`); 3 truncates.
    """

    def __init__(self, params: Params) -> None:
        members = {"words": data.ArrayLayout(FP32_BITS, BLOCK_SIZE), "format": FORMAT_CODE_BITS}
        if params.rounding == "runtime":
            members["rounding"] = ROUNDING_BITS
        super().__init__(members)


class _WeighedLayout(data.StructLayout):
    """A block's exponents, and significands cut to what can reach a magnitude or its guard bit."""

    def __init__(self, params: Params) -> None:
        element = data.StructLayout(
            {"sticky": 1, "significand": params.magnitude_bits + 1, "exponent": EXPONENT_BITS, "sign": 1}
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


class _AlignedLayout(data.StructLayout):
    """Elements in units of the widest format's last place, with guard and sticky bits below."""

    def __init__(self, params: Params) -> None:
        element = data.StructLayout({"sticky": 1, "guard": 1, "magnitude": params.magnitude_bits, "sign": 1})
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
    of `Params.rounding`, or chosen for each block where that is ``runtime``; `Params.subnormals` and
    `Params.nonfinite` say what becomes of such words. Magnitudes of narrower formats stand at the top.

    Three stages: the block's exponent and microexponents; alignment of the elements; rounding and saturation.
    Latency `latency` cycles; throughput one block a cycle, also under backpressure.

    Parameters
    ----------
    params
        Of which ``formats``, ``rounding``, ``subnormals`` and ``nonfinite`` are used.

    Members
    -------
    i : In(stream.Signature(WordsLayout(params)))
    o : Out(stream.Signature(BlockBeatLayout(1, params.magnitude_bits)))

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
        self._stages = (
            (self._weigh, _WeighedLayout(params)),
            (self._align, _AlignedLayout(params)),
            (self._round, BlockBeatLayout(1, params.magnitude_bits)),
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
        for logic, layout in self._stages:
            m.submodules[logic.__name__.strip("_")] = stage = StreamRegister(layout)
            logic(m, last.payload, stage.i.payload)
            m.d.comb += [stage.i.valid.eq(last.valid), last.ready.eq(stage.i.ready)]
            last = stage.o
        wiring.connect(m, last, wiring.flipped(self.o))
        return m

    def _weigh(self, m: Module, i, o) -> None:
        """Split the words, and find the shared exponent E and the microexponents D."""
        m.submodules.maximum = maximum = Maximum(EXPONENT_BITS, BLOCK_SIZE)
        for k in range(BLOCK_SIZE):
            self._split(m, i.words[k], o.elements[k])
            m.d.comb += maximum.i[k].eq(o.elements[k].exponent)
        m.d.comb += [o.exponent.eq(maximum.o), o.format.eq(i.format)]
        for j in range(PAIRS):
            pair = [o.elements[PAIR_SIZE * j + k].exponent for k in range(PAIR_SIZE)]
            m.d.comb += o.micro[j].eq(Cat(exponent != maximum.o for exponent in pair).all())
        if self._params.rounding == "runtime":
            m.d.comb += o.rounding.eq(i.rounding)
        else:
            m.d.comb += o.rounding.eq(ROUNDINGS.index(self._params.rounding))

    def _split(self, m: Module, word: Value, o) -> None:
        """Split one word, with the options for subnormal and non-finite words."""
        fraction, exponent, sign = word[:FRACTION_BITS], word[FRACTION_BITS:-1], word[-1]
        if self._params.nonfinite == "saturate":
            special, nan, finite = Signal(), Signal(), Signal(FP32_BITS)
            m.d.comb += [
                special.eq(exponent.all()),
                nan.eq(special & fraction.any()),
                finite.eq(
                    Mux(nan, 0, Cat(fraction | special.replicate(FRACTION_BITS), exponent[0] & ~special, word[24:]))
                ),
            ]
            fraction, exponent, sign = finite[:FRACTION_BITS], finite[FRACTION_BITS:-1], finite[-1]
        significand = Cat(fraction, exponent.any())
        if self._params.subnormals == "exact":
            significand = Mux(exponent.any(), significand, fraction << 1)
        low = FRACTION_BITS - self._params.magnitude_bits
        m.d.comb += [
            o.sign.eq(sign),
            o.exponent.eq(exponent),
            o.significand.eq(significand[low:]),
            o.sticky.eq(significand[:low].any()),
        ]

    def _align(self, m: Module, i, o) -> None:
        """Shift every significand right by E - D - e."""
        m.d.comb += [
            o.exponent.eq(i.exponent),
            o.micro.eq(i.micro),
            o.format.eq(i.format),
            o.rounding.eq(i.rounding),
        ]
        width = self._params.magnitude_bits + 1
        steps = range(self._params.magnitude_bits.bit_length())
        for k in range(BLOCK_SIZE):
            element, aligned = i.elements[k], o.elements[k]
            # E - D - e >= 0, as E + ~e + (1 - D) in eight bits
            distance = Signal(EXPONENT_BITS, name=f"distance{k}")
            m.d.comb += distance.eq(i.exponent + ~element.exponent[:EXPONENT_BITS] + ~i.micro[k // PAIR_SIZE])
            shifted, sticky = Value.cast(element.significand), element.sticky
            for step in reversed(steps):
                amount = 1 << step
                before, shifted = shifted, Signal(width, name=f"shifted{k}_by{amount}")
                m.d.comb += shifted.eq(Mux(distance[step], before[amount:], before))
                sticky = sticky | (distance[step] & before[:amount].any())
            zero = distance[len(steps) :].any()
            if self._params.subnormals == "flush":
                zero = zero | ~element.significand[-1]
            m.d.comb += [
                Cat(aligned.guard, aligned.magnitude).eq(shifted & ~zero.replicate(width)),
                aligned.sticky.eq(sticky),
                aligned.sign.eq(element.sign),
            ]

    def _round(self, m: Module, i, o) -> None:
        """Round each magnitude to its format, saturating, and blank NaN blocks."""
        width = self._params.magnitude_bits
        truncate, away = i.rounding[TRUNCATE - 1], i.rounding[HALF_AWAY - 1]
        below = Signal(width)  # the magnitude bits that the format lacks
        m.d.comb += below.eq(0)
        for fmt in self._params.format_set:
            with m.If(i.format == fmt.code):
                m.d.comb += below.eq((1 << width - fmt.magnitude_bits) - 1)
        nan = i.exponent.all() if self._params.nonfinite == "nan" else Value.cast(0)
        block = o.blocks[0]
        m.d.comb += [
            o.format.eq(i.format),
            block.exponent.eq(i.exponent),
            block.micro.eq(i.micro & ~nan.replicate(PAIRS)),
        ]
        place = Signal(width)  # one-hot: the format's last place
        m.d.comb += place.eq(~below & Cat(1, below))
        for k in range(BLOCK_SIZE):
            element, rounded = i.elements[k], block.elements[k]
            up, full = Signal(name=f"up{k}"), Signal(width, name=f"full{k}")
            lower = Cat(element.guard, element.magnitude)[:width]  # the bit below each of the magnitude's
            odd = (element.magnitude & place).any()
            guard = (lower & place).any()
            sticky = element.sticky | (lower & below).any()
            m.d.comb += [
                full.eq(element.magnitude | below),
                up.eq(guard & ~truncate & (away | sticky | odd) & ~full.all()),
                rounded.magnitude.eq((full + up) & ~below & ~nan.replicate(width)),
                rounded.sign.eq(element.sign & ~nan),
            ]
