"""Packed blocks to the core's container, and back."""

from collections.abc import Callable

from amaranth.hdl import Cat, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, PAIRS, Format

from ..params import Params
from ..shapes import FORMAT_CODE_BITS, BlockBeatLayout

HEAD_BITS = EXPONENT_BITS + PAIRS


class PackedLayout(data.StructLayout):
    """A packed block as one little-endian integer, wide enough for the widest format, and its format's code.

    Narrower blocks lie in the low bits; the bits above are 0 where written and ignored where read.
    """

    def __init__(self, params: Params) -> None:
        super().__init__({"bits": max(fmt.block_bits for fmt in params.format_set), "format": FORMAT_CODE_BITS})


class _Recoder(wiring.Component):
    """What `Unpacker` and `Packer` share: a stream without registers whose payload's meaning hangs on its format.

    ``recode`` is called for each format, to connect the payloads for it.
    """

    def __init__(self, params: Params, i, o, recode: Callable[[Module, Format], None]) -> None:
        super().__init__({"i": In(stream.Signature(i)), "o": Out(stream.Signature(o))})
        self._params = params
        self._recode = recode

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        return (self._params.formats,)

    @property
    def latency(self) -> int:
        """Cycles from input to output: none."""
        return 0

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
            self.o.payload.format.eq(self.i.payload.format),
        ]
        widest, *others = self._params.format_set
        self._recode(m, widest)
        for fmt in others:
            with m.If(self.i.payload.format == fmt.code):
                self._recode(m, fmt)
        return m


class Unpacker(_Recoder):
    """Packed block to container (docs/numerics.md, Formats): magnitudes of narrower formats move to the top.

    A code of no supported format is read as the widest. Nothing else is changed: what a NaN block holds beside its
    exponent passes.

    Combinational: latency none; throughput one block a cycle.

    Parameters
    ----------
    params
        Of which ``formats`` is used.

    Members
    -------
    i : In(stream.Signature(PackedLayout(params)))
    o : Out(stream.Signature(BlockBeatLayout(1, params.magnitude_bits)))

    Raises
    ------
    TypeError
        ``params`` is no `Params`.
    """

    unit_name = "unpacker"

    def __init__(self, params: Params) -> None:
        _check(params)
        super().__init__(params, PackedLayout(params), BlockBeatLayout(1, params.magnitude_bits), self._unpack)

    def _unpack(self, m: Module, fmt: Format) -> None:
        bits, block = self.i.payload.bits, self.o.payload.blocks[0]
        m.d.comb += Cat(block.exponent, block.micro).eq(bits[:HEAD_BITS])
        for k, element in enumerate(block.elements):
            field = bits[HEAD_BITS + k * fmt.element_bits :][: fmt.element_bits]
            low = self._params.magnitude_bits - fmt.magnitude_bits
            m.d.comb += [element.magnitude.eq(field[:-1] << low), element.sign.eq(field[-1])]


class Packer(_Recoder):
    """Container to packed block (docs/numerics.md, Formats): the magnitude bits that the format lacks are dropped.

    A code of no supported format is written as the widest.

    Combinational: latency none; throughput one block a cycle.

    Parameters
    ----------
    params
        Of which ``formats`` is used.

    Members
    -------
    i : In(stream.Signature(BlockBeatLayout(1, params.magnitude_bits)))
    o : Out(stream.Signature(PackedLayout(params)))

    Raises
    ------
    TypeError
        ``params`` is no `Params`.
    """

    unit_name = "packer"

    def __init__(self, params: Params) -> None:
        _check(params)
        super().__init__(params, BlockBeatLayout(1, params.magnitude_bits), PackedLayout(params), self._pack)

    def _pack(self, m: Module, fmt: Format) -> None:
        block = self.i.payload.blocks[0]
        low = self._params.magnitude_bits - fmt.magnitude_bits
        elements = [Cat(element.magnitude[low:], element.sign) for element in block.elements]
        m.d.comb += self.o.payload.bits.eq(Cat(block.exponent, block.micro, elements))


def _check(params: Params) -> None:
    if not isinstance(params, Params):
        raise TypeError(f"params must be a Params, not {params!r}")
