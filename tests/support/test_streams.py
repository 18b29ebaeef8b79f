"""The harness itself: it must catch units that break the rules."""

from itertools import islice

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tests.support.streams import (
    BACKPRESSURES,
    IDLES,
    Bench,
    Sink,
    Source,
    StreamError,
    assert_full_rate,
    pattern,
)


class Wire(wiring.Component):
    """Passes items, with a fault of choice."""

    def __init__(self, fault: str = "") -> None:
        signature = stream.Signature(data.StructLayout({"low": 4, "high": 4}))
        super().__init__({"i": In(signature), "o": Out(signature)})
        self.fault = fault

    def elaborate(self, platform) -> Module:
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
        ]
        if self.fault == "withdraws":
            m.d.comb += [self.o.valid.eq(self.i.valid & count[1]), self.i.ready.eq(self.o.ready & count[1])]
        elif self.fault == "changes":
            m.d.comb += self.o.payload.high.eq(count)
        elif self.fault == "repeats":
            m.d.comb += self.i.ready.eq(self.o.ready & count[0])
        elif self.fault == "waits":
            m.d.comb += self.o.valid.eq(self.i.valid & self.o.ready)
        elif self.fault == "surplus":
            m.d.comb += self.o.valid.eq(1)
        return m


def _run(fault: str, back: str) -> tuple[Source, Sink]:
    dut = Wire(fault)
    source, sink = (
        Source(dut.i, [{"low": k, "high": 15 - k} for k in range(10)]),
        Sink(dut.o, 10, backpressure=back),
    )
    Bench(dut).run(source, sink)
    return source, sink


@pytest.mark.parametrize("back", BACKPRESSURES)
def test_good_unit_passes(back):
    source, sink = _run("", back)
    assert sink.items == [k | (15 - k) << 4 for k in range(10)]
    assert [(p.low, p.high) for p in sink.payloads()] == [(k, 15 - k) for k in range(10)]
    assert source.cycles == sink.cycles


@pytest.mark.parametrize(
    ("fault", "back", "text"),
    [
        ("withdraws", "00000001", r"^cycle 4: valid was withdrawn before ready$"),
        ("changes", "01", r"^cycle 1: payload changed from 0x0 to 0x10 before ready$"),
        ("surplus", "always", r"^cycle 10: item 0x69 after the last of 10$"),
        ("waits", "late", r"^no end after 1000 cycles: 0 of 10 sent, 0 of 10 received$"),
    ],
)
def test_broken_rule_is_caught(fault, back, text):
    with pytest.raises(StreamError, match=text):
        _run(fault, back)


def test_lost_rate_is_caught():
    source, sink = _run("", "011")
    with pytest.raises(StreamError, match=r"^10 of 10 received, but with 4 gaps, the first before cycle 4$"):
        assert_full_rate(sink)
    source, sink = _run("", "always")
    assert_full_rate(source, sink)


class Kept(wiring.Component):
    """One stage, which forgets its item at a reset or does not."""

    def __init__(self, forgets: bool) -> None:
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8))})
        self.forgets = forgets

    def elaborate(self, platform) -> Module:
        m = Module()
        valid = Signal(reset_less=not self.forgets)
        m.d.comb += [self.o.valid.eq(valid), self.i.ready.eq(~valid | self.o.ready)]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


@pytest.mark.parametrize("after", [0, 1, 2, 9])
def test_interrupted_job(after):
    """Items that a unit keeps over a reset are found; they are not those of the new job."""

    def run(forgets: bool) -> list[int]:
        dut = Kept(forgets)
        old = Source(dut.i, list(range(100, 120))), Sink(dut.o, 20, backpressure="0001")
        sink = Sink(dut.o, 3)
        Bench(dut).run(Source(dut.i, [1, 2, 3]), sink, interrupted=old, after=after)
        assert len(old[1].items) == after // 4
        return sink.items

    assert run(True) == [1, 2, 3]
    if after:
        with pytest.raises(StreamError, match=r"^cycle 3: item 0x3 after the last of 3$"):
            run(False)


@pytest.mark.parametrize("spec", IDLES)
def test_patterns_repeat_with_their_seed(spec):
    first, again, other = (list(islice(pattern(spec, seed), 200)) for seed in (1, 1, 2))
    assert first == again
    assert any(first)
    assert all(first) == (spec == "always")
    assert (first == other) == (spec == "always")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("000", r"^a pattern must hold a 1, not '000'$"),
        (
            "odd",
            r"^a pattern must be one of always, random, .*, late or of 0 and 1, not 'odd'$",
        ),
        ("", r"^a pattern must be one of always, .*, not ''$"),
    ],
)
def test_unknown_pattern(spec, text):
    with pytest.raises(ValueError, match=text):
        next(pattern(spec))
