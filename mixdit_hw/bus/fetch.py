"""Runs of bytes from memory: bursts out, items of a chosen size back, whatever the first byte's address."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..params import Params
from ..unit import add_unit
from .layouts import ITEM_BYTES, RUN_BITS, BurstLayout, ItemLayout, RunLayout
from .queue import StreamQueue

UNIT_BYTES = 2  # addresses and sizes are multiples of it
LEAST_WINDOW_BYTES = 32
MOST_BURST_BEATS = 16


def burst_beats(params: Params) -> int:
    """Most beats of a read burst, a power of two: no more than a quarter of ``read_depth``."""
    return min(MOST_BURST_BEATS, params.read_depth // 4)


def window_bytes(params: Params) -> int:
    """Bytes that a `Fetcher` can hand on in a cycle: those of the bus, but at least 32."""
    return max(LEAST_WINDOW_BYTES, params.axi_width // 8)


class ExtentLayout(data.StructLayout):
    """What the data part of a `Fetcher` has to know of a run, in units of two bytes.

    Fields
    ------
    offset
        Units of the first beat before the run.
    length
        Units of the run.
    item : 6
        Units of an item.
    """

    def __init__(self, params: Params) -> None:
        units = params.axi_width // 8 // UNIT_BYTES
        super().__init__({"offset": range(units), "length": RUN_BITS - 1, "item": 6})


class Fetcher(wiring.Component):
    """Read runs and hand them on in items.

    The address part cuts each run into bursts of full width, which end where addresses are multiples of a burst's
    most bytes, so never beyond 4 KiB. It runs ahead of the data part, over the ends of runs too, as far as the queue
    has room for all beats that have been asked for: data are always taken at once. A beat that two runs share is read
    for each of them.

    The data part keeps a window of the bus's width (at least 32 bytes) and the beat after it. Units of two bytes that
    lie below the item's begin in the window's first beat come from the beat after it; then one rotation brings the
    item's first unit to the bottom.

    Latency: 2 cycles from a run's acceptance to its first burst, and 5 from a run's last beat to its last item
    (``latency``), or 4 where the item ends in the beat after a full window. Throughput: one burst per cycle; one beat
    per cycle; one item per cycle as far as the beats suffice, but items longer than the window take two cycles.

    Parameters
    ----------
    params
        Of the design: axi_width, address_bits and read_depth count here.

    Members
    -------
    run : In(stream of RunLayout)
        What to read. Addresses and numbers of bytes are even.
    o : Out(stream of ItemLayout)
        Items, in the order of the runs.
    ar : Out(stream of BurstLayout)
        Bursts to ask for.
    r_valid : In(1), r_data : In
        The beats of these bursts, in order.
    halt : In(1)
        Offer no new bursts; one that is offered stays.
    """

    unit_name = "fetcher"
    latency = 5

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "run": In(stream.Signature(RunLayout(params))),
                "o": Out(stream.Signature(ItemLayout())),
                "ar": Out(stream.Signature(BurstLayout(params))),
                "r_valid": In(1),
                "r_data": In(params.axi_width),
                "halt": In(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("width", p.axi_width), ("address", p.address_bits), ("depth", p.read_depth)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        p = self._params
        extents = StreamQueue(ExtentLayout(p), p.read_depth)
        add_unit(m, platform, "extents", extents)
        beats = StreamQueue(p.axi_width, p.read_depth)
        add_unit(m, platform, "beats", beats)
        m.d.comb += [beats.i.valid.eq(self.r_valid), beats.i.payload.eq(self.r_data)]
        self._ask(m, extents.i, beats.o.valid & beats.o.ready)
        self._cut(m, extents.o, beats.o)
        return m

    def _ask(self, m: Module, extent: Any, freed: Value) -> None:
        """The address part: bursts out of runs, as long as there is room for their beats."""
        p, run = self._params, self.run.payload
        most = burst_beats(p)
        offset_bits = (p.axi_width // 8).bit_length() - 1
        offset = Value.cast(run.address)[1:offset_bits]
        length = run.bytes[1:]

        active, beat = Signal(), Signal(p.address_bits - offset_bits, reset_less=True)
        left = Signal(RUN_BITS - offset_bits + 1, reset_less=True)  # beats
        to_edge, size = Signal(range(most + 1)), Signal(range(most + 1))
        last, issue, accept = Signal(), Signal(), Signal()
        room = Signal(range(p.read_depth + 1), init=p.read_depth)
        m.d.comb += [
            to_edge.eq(most - beat[: most.bit_length() - 1]),
            last.eq(left <= to_edge),
            size.eq(Mux(last, left, to_edge)),
            issue.eq(active & (~self.ar.valid | self.ar.ready) & (room >= most) & ~self.halt),
            accept.eq(~active | (issue & last)),
            self.run.ready.eq(accept & extent.ready),
            extent.valid.eq(accept & self.run.valid),
            extent.payload.offset.eq(offset),
            extent.payload.length.eq(length),
            extent.payload.item.eq(run.item[1:]),
        ]
        m.d.sync += room.eq(room - Mux(issue, size, 0) + freed)
        with m.If(issue):
            m.d.sync += [beat.eq(beat + size), left.eq(left - size)]
        with m.If(accept):
            m.d.sync += [
                active.eq(self.run.valid & self.run.ready),
                beat.eq(Value.cast(run.address)[offset_bits:]),
                left.eq((offset + length + ((1 << offset_bits - 1) - 1))[offset_bits - 1 :]),
            ]

        address, beats = Signal.like(beat, reset_less=True), Signal(8, reset_less=True)
        with m.If(~self.ar.valid | self.ar.ready):
            m.d.sync += [self.ar.valid.eq(issue), address.eq(beat), beats.eq(size - 1)]
        m.d.comb += [
            self.ar.payload.address.eq(Cat(Const(0, offset_bits), address)),
            self.ar.payload.beats.eq(beats),
        ]

    def _cut(self, m: Module, extent: Any, beat: Any) -> None:
        """The data part: items out of beats."""
        width = self._params.axi_width
        units = width // 8 // UNIT_BYTES  # of a beat
        window_units = window_bytes(self._params) // UNIT_BYTES
        slots = window_units // units
        halves = window_bytes(self._params) < ITEM_BYTES

        # The run at work, and the part of it that is next: an item, or half of one.
        active, left = Signal(), Signal(RUN_BITS - 1, reset_less=True)
        item, within = Signal(6, reset_less=True), Signal(6, reset_less=True)
        count, second = Signal(range(window_units + 1), reset_less=True), Signal(reset_less=True)
        ends_item, ends_run = Signal(reset_less=True), Signal(reset_less=True)
        go, load = Signal(), Signal()
        left_next, within_next, item_next = Signal.like(left), Signal.like(within), Signal.like(item)
        limit, short = Signal.like(count), Signal()
        m.d.comb += [
            load.eq(extent.valid & (~active | (go & ends_run))),
            extent.ready.eq(~active | (go & ends_run)),
            item_next.eq(Mux(load, extent.payload.item, item)),
            left_next.eq(Mux(load, extent.payload.length, left - count)),
            within_next.eq(item_next if not halves else Mux(load | ends_item, item_next, within - window_units)),
            limit.eq(within_next if not halves else Mux(within_next > window_units, window_units, within_next)),
            short.eq(left_next <= limit),
        ]
        with m.If(load | go):
            m.d.sync += [
                active.eq(load | ~ends_run),
                left.eq(left_next),
                item.eq(item_next),
                within.eq(within_next),
                count.eq(Mux(short, left_next, limit)),
                second.eq(~load & ~ends_item),
                ends_run.eq(short),
                ends_item.eq(short | (within_next <= window_units)),
            ]

        # Beats: the window is a ring of slots, and the beat after it goes to the slot that is written next.
        ring = [Signal(width, name=f"ring_{s}", reset_less=True) for s in range(slots)]
        following, following_valid = Signal(width, reset_less=True), Signal()
        level = Signal(range(slots + 1))
        offset = Signal(range(units), reset_less=True)
        slot, write_slot = Signal(range(slots)), Signal(range(slots))
        total, touched = Signal(range(units + window_units)), Signal(range(slots + 2))
        used, move = Signal.like(touched), Signal()
        unit_bits = units.bit_length() - 1
        m.d.comb += [
            total.eq(offset + count),
            touched.eq((total + (units - 1)) >> unit_bits),
            go.eq(
                active & (~self.o.valid | self.o.ready) & ((touched <= level) | ((level == slots) & following_valid))
            ),
            used.eq(Mux(go, Mux(ends_run, touched, total >> unit_bits), 0)),
            move.eq(following_valid & ((level != slots) | (used != 0))),
            beat.ready.eq(~following_valid | move),
        ]
        # A run that ends in the beat after a full window uses that beat as well, though it comes to its slot only now.
        m.d.sync += [level.eq(level - used + move), write_slot.eq(write_slot + move), slot.eq(slot + used)]
        with m.If(beat.ready):
            m.d.sync += [following_valid.eq(beat.valid), following.eq(beat.payload)]
        for s in range(slots):
            with m.If(move & (write_slot == s)):
                m.d.sync += ring[s].eq(following)
        with m.If(load):
            m.d.sync += offset.eq(extent.payload.offset)
        with m.Elif(go):
            m.d.sync += offset.eq(total)

        # One rotation of the window.
        lanes: list[Value] = []
        for n in range(window_units):
            s, lane = divmod(n, units)
            inner = slice(16 * lane, 16 * lane + 16)
            passed = (slot == s) & (offset > lane) if lane < units - 1 else Const(0)
            lanes.append(Mux(passed, following[inner], ring[s][inner]))
        for b, bit in enumerate(Cat(offset, slot) if slots > 1 else offset):
            step = 1 << b
            lanes = [Mux(bit, lanes[(n + step) % window_units], lanes[n]) for n in range(window_units)]
        part = Signal(16 * window_units)
        m.d.comb += part.eq(Cat(Mux(count > n, lane, 0) for n, lane in enumerate(lanes)))

        held, last = Signal(8 * ITEM_BYTES, reset_less=True), Signal(reset_less=True)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(go & ends_item)
        with m.If(go):
            m.d.sync += last.eq(ends_run)
            if halves:
                with m.If(second):
                    m.d.sync += held[len(part) :].eq(part)
                with m.Else():
                    m.d.sync += held.eq(part)
            else:
                m.d.sync += held.eq(part)
        m.d.comb += [self.o.payload.data.eq(held), self.o.payload.last.eq(last)]
