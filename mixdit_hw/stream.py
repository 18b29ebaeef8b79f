"""The pipeline stage that the streams of the project are made of."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamRegister(wiring.Component):
    """One pipeline stage: a register with valid and ready.

    A chain of them holds one item a stage under backpressure, and idle stages fill up behind a stalled one.
    ``ready`` runs back through a chain in the same cycle; ``valid`` and the payload never run through.

    Latency one cycle; throughput one item a cycle.

    Parameters
    ----------
    shape
        Of the payload. Its register is not reset; it starts from the shape's initial value.

    Members
    -------
    i : In(stream.Signature(shape))
    o : Out(stream.Signature(shape))
    """

    def __init__(self, shape) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def latency(self) -> int:
        """Cycles from an item's acceptance to its first cycle at the output."""
        return 1

    def elaborate(self, platform) -> Module:
        m = Module()
        payload = Signal(Value.cast(self.o.payload).shape(), reset_less=True)
        m.d.comb += [
            Value.cast(self.o.payload).eq(payload),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), payload.eq(Value.cast(self.i.payload))]
        return m
