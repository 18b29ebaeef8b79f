"""The harness itself: when inputs hold and outputs are sampled, rows that answer outputs, reset, repeated runs."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tests.support.clocked import Clocked, Function


class Adder(wiring.Component):
    """Sum of the inputs so far, and with the present one."""

    def __init__(self) -> None:
        super().__init__({"x": In(8), "kept": Out(8), "now": Out(8), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.now.eq(self.kept + self.x), self.o.payload.eq(self.now)]
        m.d.sync += self.kept.eq(self.now)
        return m


def test_cycles_and_tail():
    bench = Clocked(Adder())
    for _ in range(2):  # each run starts afresh
        out = bench.run([{"x": 1}, {}, {"x": 5}], ["kept", "now", "o.payload"], tail=2)
        assert out == {"kept": [0, 1, 1, 6, 6], "now": [1, 1, 6, 6, 6], "o.payload": [1, 1, 6, 6, 6]}


def test_stimulus_that_answers():
    bench = Clocked(Adder())

    def rows():
        yield {"x": 1}
        while bench.outputs["now"][-1] < 100:
            yield {"x": bench.outputs["now"][-1]}

    assert bench.run(rows(), ["now"])["now"] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_reset():
    out = Clocked(Adder()).run([{"x": 3}, {"x": 3, "rst": 1}, {"x": 4}], ["now", "kept"])
    assert out == {"now": [3, 6, 4], "kept": [0, 3, 0]}


def test_function():
    def build(m: Module, a: Signal, b: Signal) -> dict:
        kept = Signal(4)
        m.d.sync += kept.eq(a)
        return {"kept": kept, "both": a & b}

    out = Clocked(Function({"a": 4, "b": 4}, build)).run([{"a": 12, "b": 6}, {"a": 3}], ["kept", "both"])
    assert out == {"kept": [0, 12], "both": [4, 0]}
