"""Turner of rows of W into the blocks of its columns."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE

from ..shapes import FP32_BITS

COUNT_BITS = BLOCK_SIZE.bit_length()
INDEX_BITS = COUNT_BITS - 1
WORDS = data.ArrayLayout(FP32_BITS, BLOCK_SIZE)


class TurnInLayout(data.StructLayout):
    """A row of a square.

    Fields
    ------
    words : 16 x 32
        Its words, one for each column.
    rows, columns : 5
        Rows and columns of the square, 1 to 16; the same in all its rows.
    tag
        What its columns are to be known by; likewise.
    """

    def __init__(self, tag: int) -> None:
        super().__init__({"words": WORDS, "rows": COUNT_BITS, "columns": COUNT_BITS, "tag": tag})


class TurnOutLayout(data.StructLayout):
    """A column of a square.

    Fields
    ------
    words : 16 x 32
        Its words, one for each row, and +0 for the rows that the square lacks.
    column : 4
        Which one.
    last : 1
        It is the square's last one.
    tag
        That of the square.
    """

    def __init__(self, tag: int) -> None:
        super().__init__({"words": WORDS, "column": INDEX_BITS, "last": 1, "tag": tag})


class Turner(wiring.Component):
    """Turns squares of up to 16 x 16 words: rows in, columns out.

    Word n of row k stands in bank (k + n) mod 16 at address k, so that the words of a row are all in different banks,
    and those of a column too. Each bank holds two squares: one is filled while the other is read.

    Latency two cycles (``latency``), from the acceptance of a square's last row to its first column. Throughput one
    row and one column a cycle.

    Parameters
    ----------
    tag
        Bits of the tag.

    Members
    -------
    i : In(stream of TurnInLayout(tag))
        Rows, square after square.
    square_end : Out(1)
        The row at ``i`` is the last one of its square.
    o : Out(stream of TurnOutLayout(tag))
        Columns.
    """

    unit_name = "turner"
    latency = 2

    def __init__(self, tag: int) -> None:
        self._tag = tag
        super().__init__(
            {
                "i": In(stream.Signature(TurnInLayout(tag))),
                "square_end": Out(1),
                "o": Out(stream.Signature(TurnOutLayout(tag))),
            }
        )

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        return (("tag", self._tag),)

    def elaborate(self, platform) -> Module:
        m = Module()
        i, o = self.i.payload, self.o.payload
        kept_layout = data.StructLayout({"rows": COUNT_BITS, "columns": COUNT_BITS, "tag": self._tag})
        kept = [Signal(kept_layout, name=f"kept{half}", reset_less=True) for half in range(2)]
        full = [Signal(name=f"full{half}") for half in range(2)]

        # Rows in.
        filling, row, write = Signal(), Signal(INDEX_BITS), Signal()
        m.d.comb += [
            self.i.ready.eq(~Mux(filling, full[1], full[0])),
            write.eq(self.i.valid & self.i.ready),
            self.square_end.eq(row + 1 == i.rows),
        ]
        with m.If(write):
            m.d.sync += row.eq(Mux(self.square_end, 0, row + 1))
            for half in range(2):
                with m.If(filling == half):
                    m.d.sync += [kept[half][name].eq(i[name]) for name in ("rows", "columns", "tag")]
                    m.d.sync += full[half].eq(self.square_end)
            with m.If(self.square_end):
                m.d.sync += filling.eq(~filling)

        # Columns out.
        reading, column, read = Signal(), Signal(INDEX_BITS), Signal()
        last = Signal()
        now = Signal(kept_layout)
        m.d.comb += [
            now.eq(Mux(reading, kept[1], kept[0])),
            read.eq(Mux(reading, full[1], full[0]) & (~self.o.valid | self.o.ready)),
            last.eq(column + 1 == now.columns),
        ]
        shown = data.StructLayout({"rows": COUNT_BITS, "column": INDEX_BITS, "last": 1, "tag": self._tag})
        shown = Signal(shown, reset_less=True)
        m.d.comb += [o[name].eq(shown[name]) for name in ("column", "last", "tag")]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(read)
        with m.If(read):
            m.d.sync += [
                column.eq(Mux(last, 0, column + 1)),
                shown.rows.eq(now.rows),
                shown.column.eq(column),
                shown.last.eq(last),
                shown.tag.eq(now.tag),
            ]
            with m.If(last):
                m.d.sync += reading.eq(~reading)
                for half in range(2):
                    with m.If(reading == half):
                        m.d.sync += full[half].eq(0)

        into = _rotated(m, list(i.words), row, "into")
        found: list[Value] = []
        for bank in range(BLOCK_SIZE):
            m.submodules[f"bank{bank}"] = memory = Memory(shape=FP32_BITS, depth=2 * BLOCK_SIZE, init=[])
            writer, reader = memory.write_port(), memory.read_port()
            place = Signal(INDEX_BITS, name=f"place{bank}")
            m.d.comb += [
                writer.en.eq(write),
                writer.addr.eq(filling << INDEX_BITS | row),
                writer.data.eq(into[bank]),
                place.eq(bank - column),
                reader.en.eq(read),
                reader.addr.eq(reading << INDEX_BITS | place),
            ]
            found.append(reader.data)
        # Word k is in bank k + column: rotate the other way.
        back = Signal(INDEX_BITS)
        m.d.comb += back.eq(-shown.column)
        out = _rotated(m, found, back, "out")
        m.d.comb += [o.words[k].eq(Mux(k < shown.rows, out[k], 0)) for k in range(BLOCK_SIZE)]
        return m


def _rotated(m: Module, words: list[Value], places: Value, name: str) -> list[Value]:
    """The words, each so many places further up, and round."""
    for bit in range(INDEX_BITS):
        moved = [Signal(FP32_BITS, name=f"{name}{bit}_{k}") for k in range(BLOCK_SIZE)]
        for k in range(BLOCK_SIZE):
            m.d.comb += moved[k].eq(Mux(places[bit], words[k - (1 << bit)], words[k]))
        words = list(moved)
    return words
