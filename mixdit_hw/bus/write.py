"""Pieces of up to 64 bytes to memory."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..params import Params
from .axi import PAGE_BYTES, WriteSignature, constant_fields
from .layouts import ITEM_BYTES, PieceLayout

UNIT_BYTES = 2  # addresses and sizes are multiples of it
OPEN_BURSTS = 16  # that may wait for their response


class Writer(wiring.Component):
    """Write pieces, each as one burst, or as two where it crosses 4 KiB.

    Addresses of bursts are rounded down to the bus's width; the strobes say what is written. The piece's address and
    the first beat are offered in the same cycle, each until it is taken, in any order. At most 16 bursts are without
    response.

    Latency: 2 cycles from a piece's acceptance to its address and first beat (``latency``). Throughput: one beat per
    cycle, so one piece per cycle where it lies within one beat.

    Parameters
    ----------
    params
        Of the design: axi_width and address_bits count here.

    Members
    -------
    piece : In(stream of PieceLayout)
        What to write.
    axi : Out(WriteSignature)
        The bus.
    halt : In(1)
        Begin no new burst; those that have begun end.
    idle : Out(1)
        No burst has begun and is without response, and no piece waits; under ``halt`` a piece may wait.
    error : Out(2)
        The first response that was an error: 2 = SLVERR, 3 = DECERR; 0 = none. Stays until reset.
    beat : Out(1)
        A beat was taken.
    wait : Out(1)
        Bursts have begun and are without response, and no beat was taken.
    """

    unit_name = "writer"
    latency = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "piece": In(stream.Signature(PieceLayout(params))),
                "axi": Out(WriteSignature(params.address_bits, params.axi_width)),
                "halt": In(1),
                "idle": Out(1),
                "error": Out(2),
                "beat": Out(1),
                "wait": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return ("width", self._params.axi_width), ("address", self._params.address_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, axi = self._params, self.axi
        bus_bytes = p.axi_width // 8
        units = bus_bytes // UNIT_BYTES  # of a beat
        parts = ITEM_BYTES // bus_bytes  # beats of data that are aligned
        unit_bits, offset_bits = units.bit_length() - 1, bus_bytes.bit_length() - 1
        page_bits = (PAGE_BYTES // bus_bytes).bit_length() - 1

        # The piece at work.
        piece = self.piece.payload
        active = Signal()
        first = Signal()
        beat = Signal(p.address_bits - offset_bits, reset_less=True)  # address
        offset = Signal(unit_bits, reset_less=True)  # units of the first beat before the piece
        end = Signal(unit_bits, reset_less=True)  # the piece's last unit in the last beat
        after = Signal(range(parts + 1), reset_less=True)  # beats of the piece after this one
        held = Signal(8 * ITEM_BYTES, reset_less=True)
        step, last, begins, page_end = Signal(), Signal(), Signal(), Signal()
        to_page_end = Signal(page_bits)
        under_way = Signal(range(OPEN_BURSTS + 1))
        taken = Value.cast(piece.address)[1:offset_bits] + piece.bytes[1:] - 1  # unit of the first beat
        m.d.comb += [
            last.eq(after == 0),
            to_page_end.eq(~beat[:page_bits]),
            page_end.eq(to_page_end == 0),
            begins.eq(first | (beat[:page_bits] == 0)),
            step.eq(
                active
                & (~axi.wvalid | axi.wready)
                & (~begins | ((~axi.awvalid | axi.awready) & (under_way != OPEN_BURSTS) & ~self.halt))
            ),
            self.piece.ready.eq(~active | (step & last)),
        ]
        with m.If(step):
            m.d.sync += [first.eq(0), after.eq(after - 1), beat.eq(beat + 1)]
        with m.If(self.piece.ready):
            m.d.sync += [
                active.eq(self.piece.valid),
                first.eq(1),
                beat.eq(Value.cast(piece.address)[offset_bits:]),
                offset.eq(Value.cast(piece.address)[1:offset_bits]),
                end.eq(taken),
                after.eq(taken >> unit_bits),
                held.eq(piece.data),
            ]

        # Units of a beat before the piece's offset, and behind its end.
        early = [offset > n if n < units - 1 else Const(0) for n in range(units)]
        late = [end < n if n > 0 else Const(0) for n in range(units)]

        # Data: rotated within a beat; units below the offset are those that the beat before pushed out.
        lanes = _words(held)[:units]
        if parts > 1:
            index = Signal(range(parts), reset_less=True)
            with m.If(self.piece.ready):
                m.d.sync += index.eq(0)
            with m.Elif(step):
                m.d.sync += index.eq(index + 1)
            choices = [held[n : n + p.axi_width] for n in range(0, len(held), p.axi_width)]
            for bit in index:
                choices = [Mux(bit, odd, even) for even, odd in zip(choices[::2], choices[1::2], strict=True)]
            lanes = _words(choices[0])
        for b, bit in enumerate(offset):
            lanes = [Mux(bit, lanes[n - (1 << b)], lanes[n]) for n in range(units)]
        if parts > 1:
            rotated = Signal(p.axi_width)
            before = Signal(p.axi_width)  # with a reset, so that no data are unknown
            m.d.comb += rotated.eq(Cat(lanes))
            with m.If(step):
                m.d.sync += before.eq(rotated)
            pairs = zip(_words(rotated), _words(before), strict=True)
            lanes = [Mux(early[n], old, new) for n, (new, old) in enumerate(pairs)]
        strobes = [~(first & early[n]) & ~(last & late[n]) for n in range(units)]

        constant_fields(m, axi, "aw", p.axi_width)
        address, length = Signal.like(beat, reset_less=True), Signal.like(axi.awlen, reset_less=True)
        data, strobe = Signal.like(axi.wdata, reset_less=True), Signal.like(axi.wstrb, reset_less=True)
        final = Signal(reset_less=True)
        m.d.comb += [
            axi.awaddr.eq(Cat(Const(0, offset_bits), address)),
            axi.awlen.eq(length),
            axi.wdata.eq(data),
            axi.wstrb.eq(strobe),
            axi.wlast.eq(final),
            axi.bready.eq(1),
        ]
        with m.If(~axi.awvalid | axi.awready):
            m.d.sync += axi.awvalid.eq(step & begins)
        with m.If(step & begins):
            m.d.sync += [address.eq(beat), length.eq(Mux(after > to_page_end, to_page_end, after))]
        with m.If(~axi.wvalid | axi.wready):
            m.d.sync += axi.wvalid.eq(step)
        with m.If(step):
            m.d.sync += [
                data.eq(Cat(lanes)),
                strobe.eq(Cat(bit.replicate(UNIT_BYTES) for bit in strobes)),
                final.eq(last | page_end),
            ]

        m.d.sync += under_way.eq(under_way + (step & begins) - axi.bvalid)
        with m.If(axi.bvalid & axi.bresp[1] & (self.error == 0)):
            m.d.sync += self.error.eq(axi.bresp)
        m.d.comb += [
            self.idle.eq((under_way == 0) & (~active | self.halt)),
            self.beat.eq(axi.wvalid & axi.wready),
            self.wait.eq((under_way != 0) & ~self.beat),
        ]
        return m


def _words(value: Value) -> list[Value]:
    return [value[n : n + 16] for n in range(0, len(value), 16)]
