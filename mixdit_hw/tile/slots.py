"""What an operand's buffer is filled with, slot after slot."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from ..bus.layouts import SIZE_BITS, JobLayout
from ..params import Params
from ..stream import StreamRegister

SIDES = ("a", "w")


class SlotLayout(data.StructLayout):
    """What a slot of an operand's buffer holds.

    Fields
    ------
    lines
        Rows of A, or columns of W, that exist.
    first : 16
        First K block.
    end : 16
        K block after the last.
    last : 1
        The last K blocks of their lines.
    advance : 1
        The next slot has other lines: those that follow. Without it, after the last K blocks, the lines of A are the
        same again, and those of W are its first ones.
    """

    def __init__(self, params: Params, side: str) -> None:
        super().__init__(
            {
                "lines": range(slot_lines(params, side) + 1),
                "first": SIZE_BITS,
                "end": SIZE_BITS,
                "last": 1,
                "advance": 1,
            }
        )


class SlotWalk(wiring.Component):
    """Walks through the slots of a job, in the order in which they are filled and read.

    A: a slot for each panel of R*T rows; where the job is chunked, one for each panel, tile of columns and chunk of K.
    W: a slot for each group of panels, tile of C columns and chunk of K.

    Latency two cycles from ``start`` (``latency``); throughput one slot a cycle.

    Parameters
    ----------
    params
        Of the design.
    side
        ``a`` or ``w``.

    Members
    -------
    job : In(JobLayout(params))
        Job at work.
    start : In(1)
        It begins.
    o : Out(stream of SlotLayout(params, side))
        Its slots.

    Raises
    ------
    ValueError
        ``side`` is unknown.
    """

    unit_name = "slot_walk"
    latency = 2

    def __init__(self, params: Params, side: str) -> None:
        check_side(side)
        self._params = params
        self._side = side
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "start": In(1),
                "o": Out(stream.Signature(SlotLayout(params, side))),
            }
        )

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        return operand_key(self._params, self._side)

    def elaborate(self, platform) -> Module:
        m = Module()
        p, job, side = self._params, self.job, self._side
        m.submodules.out = out = StreamRegister(SlotLayout(p, side))
        wiring.connect(m, out.o, wiring.flipped(self.o))
        o = out.i.payload
        total = job.ends[3]

        running = Signal()
        rows, columns, first = Signal(SIZE_BITS), Signal(SIZE_BITS), Signal(SIZE_BITS)  # rows and columns yet to come
        step = Signal(SIZE_BITS)  # rows that share the tiles of W, or A's slots
        if side == "a":
            m.d.comb += step.eq(p.tile_rows)
        else:
            with m.Switch(job.group):
                for panels in range(1, p.a_slots + 1):
                    with m.Case(panels):
                        m.d.comb += step.eq(panels * p.tile_rows)
        end = Signal(SIZE_BITS + 1)
        last, last_rows, last_columns, again = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            end.eq(first + chunk_blocks(p, job)),
            last_rows.eq(rows <= step),
            last_columns.eq(columns <= p.columns),
            again.eq(~last_columns & job.chunked if side == "a" else ~last_columns),
            o.first.eq(first),
            last.eq(end >= total),
            o.last.eq(last),
            o.end.eq(Mux(last, total, end)),
        ]
        left, most = (rows, p.tile_rows) if side == "a" else (columns, p.columns)
        m.d.comb += [
            o.lines.eq(Mux(left < most, left, most)),
            o.advance.eq(last & (~again if side == "a" else again)),
        ]

        m.d.comb += out.i.valid.eq(running)
        with m.If(self.start):
            m.d.sync += [running.eq(1), rows.eq(job.m), columns.eq(job.n), first.eq(0)]
        with m.Elif(running & out.i.ready):
            m.d.sync += first.eq(Mux(last, 0, end))
            with m.If(last):
                m.d.sync += columns.eq(Mux(again, columns - p.columns, job.n))
                with m.If(~again):
                    m.d.sync += rows.eq(rows - step)
                    with m.If(last_rows):
                        m.d.sync += running.eq(0)
        return m


def check_side(side: str) -> None:
    """ValueError for what is no side."""
    if side not in SIDES:
        raise ValueError(f"side must be a or w, not {side!r}")


def operand_key(params: Params, side: str) -> tuple:
    """What the way of an operand into its buffer depends on."""
    names = ("rows", "columns", "interleave", "k_depth", "outlier_chunk", "a_slots", "address_bits")
    return ("side", side), *((name, getattr(params, name)) for name in names)


def chunk_blocks(params: Params, job: View) -> int | Value:
    """K blocks of a chunk of a job."""
    if params.outlier_chunk == params.k_depth:
        return params.k_depth
    return Mux(job.short_chunks, params.outlier_chunk, params.k_depth)


def slot_lines(params: Params, side: str) -> int:
    """Rows of A, or columns of W, in a full slot."""
    return params.tile_rows if side == "a" else params.columns


def slot_count(params: Params, side: str) -> int:
    """Slots of an operand's buffer."""
    return params.a_slots if side == "a" else 2


def bank_count(params: Params, side: str) -> int:
    """Banks of an operand's buffer."""
    return params.rows if side == "a" else params.columns


def block_entries(params: Params, side: str) -> int:
    """Entries of a bank that a K block takes."""
    return params.interleave if side == "a" else 1


def slot_entries(params: Params, side: str) -> int:
    """Entries of a bank that a slot takes."""
    return params.k_depth * block_entries(params, side)


def bank_depth(params: Params, side: str) -> int:
    """Entries of a bank."""
    return slot_count(params, side) * slot_entries(params, side)
