"""The output stage: from the core's results to pieces of memory."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.layouts import ItemLayout, JobLayout, PieceLayout, RunLayout, TileLayout
from ..codec.convert import Converter
from ..codec.decode import Packer
from ..job import Data
from ..params import Params
from ..shapes import ResultBeatLayout
from ..stream import StreamRegister
from ..unit import add_unit
from .columns import ColumnOperands
from .gather import Gatherer
from .lanes import ScaleLanes, lanes_latency
from .scale import BF16_BITS


class OutputStage(wiring.Component):
    """Scales results, adds the bias, and makes FP32, BF16 or packed blocks of them (docs/numerics.md, Output).

    Each piece is a block of up to 16 columns of a row, in the order in which the core hands out rows.

    Latency: from a beat in front of ``c`` to the first piece that it completes 6 cycles more than scale and bias take
    (``latency``). Throughput: L = store_lanes words and a piece per cycle, so a row of a tile takes C/L cycles, or its
    number of pieces where that is more.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    job : In(JobLayout(params))
        The job, constant while it runs.
    start : In(1)
        It begins.
    tile : In(stream of TileLayout)
        The job's tiles, in the order of the results. Some are taken ahead of them.
    c : In(stream of ResultBeatLayout(drain, columns))
        From the core.
    run : Out(stream of RunLayout(params))
        What to read of scale and bias.
    item : In(stream of ItemLayout)
        What was read.
    piece : Out(stream of PieceLayout(params))
        What to write.
    done : Out(1)
        The job's last piece has been taken.
    """

    unit_name = "output_stage"

    def __init__(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise TypeError(f"params must be a Params, not {params!r}")
        self._params = params
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "start": In(1),
                "tile": In(stream.Signature(TileLayout())),
                "c": In(stream.Signature(ResultBeatLayout(params.drain, params.columns))),
                "run": Out(stream.Signature(RunLayout(params))),
                "item": In(stream.Signature(ItemLayout())),
                "piece": Out(stream.Signature(PieceLayout(params))),
                "done": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return tuple(
            (name, getattr(p, name))
            for name in (
                "rows", "columns", "loop_latency", "interleave", "formats", "drain", "address_bits", "a_slots",
                "rounding", "subnormals", "nonfinite",
            )
        )  # fmt: skip

    @property
    def latency(self) -> int:
        """Cycles from a beat in front of ``c`` to the first piece that it completes."""
        return lanes_latency(self._params) + Gatherer.latency + Converter.latency + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, job = self._params, self.job
        add_unit(m, platform, "operands", operands := ColumnOperands(p))
        add_unit(m, platform, "lanes", lanes := ScaleLanes(p))
        add_unit(m, platform, "gatherer", gatherer := Gatherer(p))
        m.d.comb += [
            operands.job.eq(job),
            operands.index.eq(lanes.index),
            lanes.bf16.eq(job.c_type == Data.BF16),
            lanes.scale.eq(operands.scale),
            lanes.bias.eq(operands.bias),
            gatherer.job.eq(job),
            gatherer.start.eq(self.start),
        ]
        wiring.connect(m, wiring.flipped(self.tile), operands.tile)
        wiring.connect(m, operands.run, wiring.flipped(self.run))
        wiring.connect(m, wiring.flipped(self.item), operands.item)
        wiring.connect(m, operands.o, lanes.tile)
        wiring.connect(m, wiring.flipped(self.c), lanes.c)
        wiring.connect(m, lanes.tile_o, gatherer.tile)
        wiring.connect(m, lanes.o, gatherer.group)

        idle = self._store(m, platform, gatherer.o)
        ending = Signal()
        m.d.comb += self.done.eq(ending & ~gatherer.o.valid & idle)
        with m.If(gatherer.end):
            m.d.sync += ending.eq(1)
        with m.Elif(self.done):
            m.d.sync += ending.eq(0)
        return m

    def _store(self, m: Module, platform: object, blocks) -> Signal:
        """Make pieces of blocks; return whether there is none on its way.

        Beside the converter all blocks go through registers as they are.
        """
        p, job = self._params, self.job
        add_unit(m, platform, "converter", converter := Converter(p))
        add_unit(m, platform, "packer", packer := Packer(p))
        m.submodules.out = out = StreamRegister(PieceLayout(p))
        block = blocks.payload
        m.d.comb += [
            converter.i.valid.eq(blocks.valid),
            blocks.ready.eq(converter.i.ready),
            converter.i.payload.words.eq(block.words),
            converter.i.payload.format.eq(block.format),
        ]
        if p.rounding == "runtime":
            m.d.comb += converter.i.payload.rounding.eq(job.rounding)
        wiring.connect(m, converter.o, packer.i)

        kept = Signal.like(block, reset_less=True)
        with m.If(blocks.ready):
            m.d.sync += kept.eq(block)
        piece = out.i.payload
        m.d.comb += [
            out.i.valid.eq(packer.o.valid),
            packer.o.ready.eq(out.i.ready),
            piece.address.eq(kept.address),
            piece.bytes.eq(kept.bytes),
        ]
        with m.Switch(job.c_type):
            with m.Case(Data.FP32):
                m.d.comb += piece.data.eq(kept.words.as_value())
            with m.Case(Data.BF16):
                m.d.comb += piece.data.eq(Cat(word[BF16_BITS:] for word in kept.words))
            with m.Default():
                m.d.comb += piece.data.eq(packer.o.payload.bits)
        wiring.connect(m, out.o, wiring.flipped(self.piece))
        idle = Signal()
        m.d.comb += idle.eq(~converter.o.valid & ~out.o.valid)
        return idle
