"""Split of the outlier channels from rows of FP32 words, in front of the converter."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, MX9

from ..job import MAX_SIZE
from ..params import Params
from ..shapes import FORMAT_CODE_BITS, FP32_BITS
from ..stream import StreamRegister
from ..unit import add_unit
from .compact import Compactor
from .convert import ROUNDING_BITS, WordsLayout

ORDERS = ("in-place", "gathered")
MOST_FULL = MAX_SIZE // BLOCK_SIZE  # full blocks of outliers of a row


class RowLayout(data.StructLayout):
    """16 words of a row in K order.

    Fields
    ------
    words : 16 x 32
        FP32 words, the first in the lowest bits.
    present : 16
        Bit k: word k is a channel; the others only fill the last beat of a row.
    outliers : 16
        Bit k: word k is an outlier channel.
    format : 2
        Format of the other channels: 0 = MX4, 1 = MX6, 2 = MX9.
    rounding : 2
        Handed on to the converter: 0 = nearest-even, 1 = truncate, 2 = half-away. Only where rounding is chosen at run
        time.
    last : 1
        These are the row's last words.
    """

    def __init__(self, params: Params) -> None:
        members = {
            "words": data.ArrayLayout(FP32_BITS, BLOCK_SIZE),
            "present": BLOCK_SIZE,
            "outliers": BLOCK_SIZE,
            "format": FORMAT_CODE_BITS,
        }
        if params.rounding == "runtime":
            members["rounding"] = ROUNDING_BITS
        super().__init__(members | {"last": 1})


class OutlierSplit(wiring.Component):
    """Brings rows into the stored order of docs/numerics.md, Accumulation, with the outliers in MX9.

    ``in-place``: the row's blocks with +0 for the outliers, then the outliers, in ascending order, in blocks padded
    with +0; a row without outliers has no such blocks. ``gathered``: the other channels in blocks padded with +0,
    then the outliers in theirs; blocks without any channel are left out. Ready for the converter.

    Latency one cycle (``latency``; in the gathered order: from the word that fills a block). Throughput 16 words
    and one block a cycle; while a row's appended blocks leave, the input waits, and the output has no gaps.

    With a window a row may have any number of outliers. All of its blocks leave, but only the last ``depth`` of the
    full blocks of outliers before number ``window_end`` hold what they should, and other full ones anything. The
    accelerator has it so; the unit ``outlier_split`` that is emitted by itself has no window.

    Parameters
    ----------
    params
        Of which ``rounding`` is used, and ``formats``, which must have mx9.
    depth
        Full blocks of outliers that can be kept, at least 1: without a window a row may have 16 * depth + 15 outliers.
    order
        ``in-place`` or ``gathered``. Gathering takes a second `Compactor`.
    windowed
        With a window, instead of ``overflow``.

    Members
    -------
    i : In(stream of RowLayout(params))
        Rows, 16 words a beat in K order.
    o : Out(stream of WordsLayout(params))
        Words in their stored order, those of one block a beat.
    overflow : Out(1)
        A row had more outliers than there is room for, and some were lost. Stays until reset.
    window_end : In(13)
        Where windowed: number of the first block of outliers behind the window. Constant while a row comes.

    Raises
    ------
    TypeError
        ``params`` is no `Params`, or ``depth`` no integer.
    ValueError
        ``params`` lacks mx9, ``depth`` is below 1, or ``order`` is unknown.
    """

    unit_name = "outlier_split"

    def __init__(self, params: Params, *, depth: int = 4, order: str = "in-place", windowed: bool = False) -> None:
        if not isinstance(params, Params):
            raise TypeError(f"params must be a Params, not {params!r}")
        if MX9.name not in params.formats:
            raise ValueError(f"formats must have mx9 for the outliers, not {list(params.formats)!r}")
        if not isinstance(depth, int):
            raise TypeError(f"depth must be an integer, not {depth!r}")
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth!r}")
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
        super().__init__(
            {
                "i": In(stream.Signature(RowLayout(params))),
                "o": Out(stream.Signature(WordsLayout(params))),
            }
            | ({"window_end": In(range(MOST_FULL + 2))} if windowed else {"overflow": Out(1)})
        )
        self._params = params
        self._depth = depth
        self._order = order
        self._windowed = windowed

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        runtime = int(self._params.rounding == "runtime")
        return ("depth", self._depth), ("order", self._order), ("runtime", runtime), ("windowed", int(self._windowed))

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of 16 words to the block that they make."""
        return 1

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.out = out = StreamRegister(WordsLayout(self._params))
        outliers = Compactor()
        add_unit(m, platform, "outliers", outliers)
        inliers = None
        if self._order == "gathered":
            inliers = Compactor()
            add_unit(m, platform, "inliers", inliers)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        i, o = self.i.payload, out.i.payload
        transfer, last = Signal(), Signal()
        m.d.comb += [
            transfer.eq(self.i.valid & self.i.ready),
            last.eq(transfer & i.last),
            outliers.words.eq(i.words),
            outliers.mask.eq(i.outliers & i.present),
            outliers.enable.eq(transfer),
        ]
        stored, send, stored_block = self._store(m, outliers)
        options = {name: field for name, field in WordsLayout(self._params) if name != "words"}
        kept = {name: Signal(field.shape, name=f"kept_{name}") for name, field in options.items()}
        with m.If(transfer):
            m.d.sync += [kept[name].eq(i[name]) for name in kept]

        with m.FSM():
            with m.State("ROW"):
                m.d.comb += [self.i.ready.eq(out.i.ready)]
                m.d.comb += [o[name].eq(i[name]) for name in options]
                append = (stored != 0) | outliers.full | (outliers.count_next != 0)
                others = i.present & ~i.outliers
                if inliers is not None:
                    m.d.comb += [
                        inliers.words.eq(i.words),
                        inliers.mask.eq(others),
                        inliers.enable.eq(transfer),
                        out.i.valid.eq(self.i.valid & inliers.full),
                        o.words.eq(inliers.block),
                    ]
                    with m.If(last & (inliers.count_next != 0)):
                        m.next = "INLIERS"
                    with m.Elif(last & append):
                        m.next = "OUTLIERS"
                else:
                    m.d.comb += out.i.valid.eq(self.i.valid)
                    m.d.comb += [o.words[k].eq(Mux(others[k], i.words[k], 0)) for k in range(BLOCK_SIZE)]
                    with m.If(last & append):
                        m.next = "OUTLIERS"
            if inliers is not None:
                with m.State("INLIERS"):  # the words that fill no block
                    m.d.comb += [out.i.valid.eq(1), o.words.eq(inliers.rest), inliers.clear.eq(out.i.ready)]
                    m.d.comb += [o[name].eq(signal) for name, signal in kept.items()]
                    with m.If(out.i.ready):
                        with m.If((stored != 0) | (outliers.count != 0)):
                            m.next = "OUTLIERS"
                        with m.Else():
                            m.next = "ROW"
            with m.State("OUTLIERS"):
                more, final = Signal(), Signal()
                m.d.comb += [
                    more.eq(stored != 0),
                    final.eq(~more | ((stored == 1) & (outliers.count == 0))),
                    out.i.valid.eq(1),
                    Value.cast(o.words).eq(Mux(more, stored_block, outliers.rest)),
                ]
                m.d.comb += [o[name].eq(signal) for name, signal in kept.items()]
                m.d.comb += o.format.eq(MX9.code)
                with m.If(out.i.ready):
                    m.d.comb += send.eq(more)
                    with m.If(final):
                        m.d.comb += outliers.clear.eq(1)
                        m.next = "ROW"
        return m

    def _store(self, m: Module, outliers: Compactor) -> tuple[Signal, Signal, Value]:
        """Memory of a row's full blocks: how many are yet to send, a signal that sends one, and the next.

        It is filled while the row comes and emptied after it. Blocks behind the window have their places too, in turn
        with all others, but are not written.
        """
        shape = Value.cast(outliers.block).shape()
        m.submodules.store = store = memory.Memory(shape=shape, depth=self._depth, init=[])
        stored = Signal(range((MOST_FULL if self._windowed else self._depth) + 1))
        put, got = Signal(range(self._depth)), Signal(range(self._depth))
        write, read = store.write_port(), store.read_port(domain="comb")
        filled, kept, send = Signal(), Signal(), Signal()
        m.d.comb += [
            filled.eq(outliers.enable & outliers.full),
            kept.eq(stored < self.window_end if self._windowed else stored != self._depth),
            write.addr.eq(put),
            write.data.eq(outliers.block),
            write.en.eq(filled & kept),
            read.addr.eq(got),
        ]
        with m.If(filled & (1 if self._windowed else kept)):
            m.d.sync += [stored.eq(stored + 1), put.eq(Mux(put == self._depth - 1, 0, put + 1))]
        if not self._windowed:
            with m.If(filled & ~kept):
                m.d.sync += self.overflow.eq(1)
        with m.If(send):
            m.d.sync += [stored.eq(stored - 1), got.eq(Mux(got == self._depth - 1, 0, got + 1))]
        return stored, send, read.data
