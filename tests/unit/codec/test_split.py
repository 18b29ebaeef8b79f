"""The outlier split against lists, and with the converter against the golden model."""

import random
from functools import cache
from itertools import cycle

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

import golden
from golden.formats import FORMATS, MX6, MX9
from mixdit_hw.codec.convert import Converter
from mixdit_hw.codec.split import ORDERS, OutlierSplit, RowLayout
from mixdit_hw.params import Params
from mixdit_hw.shapes import BlockBeatLayout
from tests.support.streams import CROSSED, Bench, Sink, Source, assert_full_rate, latency

Row = tuple[list[int], list[int]]  # words, and the places of the outliers among them


class SplitAndConvert(wiring.Component):
    """The split in front of the converter."""

    def __init__(self, params: Params, order: str) -> None:
        blocks = BlockBeatLayout(1, params.magnitude_bits)
        super().__init__({"i": In(stream.Signature(RowLayout(params))), "o": Out(stream.Signature(blocks))})
        self.params, self.order = params, order

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.split = split = OutlierSplit(self.params, depth=2, order=self.order)
        m.submodules.converter = converter = Converter(self.params)
        wiring.connect(m, wiring.flipped(self.i), split.i)
        wiring.connect(m, split.o, converter.i)
        wiring.connect(m, converter.o, wiring.flipped(self.o))
        return m


@cache
def _bench(order: str, depth: int = 2):
    dut = OutlierSplit(Params(), depth=depth, order=order)
    return dut, Bench(dut)


def _bits(words: list[int]) -> int:
    return sum(word << 32 * k for k, word in enumerate(words))


def _beats(rows: list[Row], code: int = MX6.code, junk: int = 0xFFFFFFFF) -> list[int]:
    """Input beats; places that are no channels hold junk, and are marked as outliers to no effect."""
    beats = []
    for words, outliers in rows:
        for start in range(0, len(words), 16):
            part = words[start : start + 16]
            present = (1 << len(part)) - 1
            marks = sum(1 << k - start for k in outliers if start <= k < start + 16) | (0xFFFF & ~present)
            last = start + 16 >= len(words)
            fields = _bits(part + [junk] * (16 - len(part))) | present << 512 | marks << 528
            beats.append(fields | code << 544 | last << 546)
    return beats


def _blocks(words: list[int], code: int) -> list[int]:
    padded = words + [0] * (-len(words) % 16)
    return [_bits(padded[k : k + 16]) | code << 512 for k in range(0, len(padded), 16)]


def _expected(rows: list[Row], order: str, code: int = MX6.code) -> list[int]:
    """Output beats."""
    beats = []
    for words, outliers in rows:
        chosen = set(outliers)
        if order == "in-place":
            first = [0 if k in chosen else word for k, word in enumerate(words)]
        else:
            first = [word for k, word in enumerate(words) if k not in chosen]
        beats += _blocks(first, code) + _blocks([words[k] for k in sorted(chosen)], MX9.code)
    return beats


def _rows(seed: int, count: int, most: int = 47) -> list[Row]:
    """Rows of 1 to 80 channels with few, many, clustered or no outliers, at most `most`."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        length = rng.choice([1, 15, 16, 17, 32, 48, 64, rng.randrange(1, 81)])
        share = rng.choice([0, 0.05, 0.3, 0.7, 1])
        start = rng.randrange(length)
        if share == 1:  # a cluster
            outliers = list(range(start, min(length, start + rng.randrange(1, most + 1))))
        else:
            outliers = [k for k in range(length) if rng.random() < share]
        rows.append(([rng.getrandbits(32) for _ in range(length)], outliers[:most]))
    return rows


def _check(order: str, rows: list[Row], *, idle="always", back="always", depth=2) -> tuple[Source, Sink]:
    dut, bench = _bench(order, depth)
    expected = _expected(rows, order)
    source = Source(dut.i, _beats(rows), idle=idle, seed=1)
    sink = Sink(dut.o, len(expected), backpressure=back, seed=2)
    bench.run(source, sink, watch=[dut.overflow])
    assert sink.items == expected
    assert not any(flag for (flag,) in bench.watched)
    return source, sink


@pytest.mark.parametrize("order", ORDERS)
def test_random_rows(order):
    _check(order, _rows(31, 80))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("idle", "back"), CROSSED)
def test_flow(order, idle, back):
    _check(order, _rows(32, 12), idle=idle, back=back)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 33, 47])
def test_counts_of_outliers(order, count):
    """Every way in which the appended blocks can end, twice, so that nothing is left over from the first row."""
    words = list(range(1, 65))
    _check(order, [(words, list(range(64 - count, 64))), (words, [3]), (words, list(range(count)))])


@pytest.mark.parametrize("order", ORDERS)
def test_all_channels_are_outliers(order):
    words = list(range(100, 132))
    _check(order, [(words, list(range(32))), (words[:7], list(range(7))), (words, [])])


@pytest.mark.parametrize("mask", [0x0001, 0x8000, 0x5555, 0xAAAA, 0xFF00, 0x7FFE, 0xFFFF])
def test_masks_at_every_fill(mask):
    """The same marks arrive while 0 to 15 words are held."""
    marks = [k for k in range(16) if mask >> k & 1]
    rows = []
    for held in range(16):
        words = [held << 16 | k for k in range(32)]
        rows.append((words, list(range(held)) + [16 + k for k in marks]))
    _check("in-place", rows)


def test_latency_and_rate():
    words = list(range(64))
    rows = [(words, [5]), (words, []), (words, list(range(20)))]
    source, sink = _check("in-place", rows)
    assert latency(source, sink) == _bench("in-place")[0].latency
    assert_full_rate(sink)  # 5 + 4 + 6 blocks without a gap
    assert [b - a for a, b in zip(source.cycles, source.cycles[1:], strict=False)] == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]
    source, sink = _check("gathered", [(words, [])] * 3)
    assert_full_rate(source, sink)
    assert latency(source, sink) == _bench("gathered")[0].latency


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("depth", [1, 3])
def test_overflow_is_told_and_lasts(order, depth):
    dut, bench = _bench(order, depth)
    words = list(range(1, 16 * depth + 33))
    most = 16 * depth + 15
    _check(order, [(words, list(range(most)))] * 2, depth=depth)
    rows = [(words, list(range(most + 1))), (words, [1, 2])]
    whole = len(_expected(rows, order))
    sink = Sink(dut.o, whole - 1)  # one block of outliers is lost
    source = Source(dut.i, _beats(rows))
    bench.run(source, sink, watch=[dut.overflow])
    flags = [flag for (flag,) in bench.watched]
    assert flags == sorted(flags)
    assert flags.index(1) == source.cycles[depth] + 1  # after the beat that fills one block too many
    assert sink.items[-len(_expected(rows[1:], order)) :] == _expected(rows[1:], order)


class WindowedSplit(wiring.Component):
    """The split with a window for each row, in turn, which changes in the cycle after a row's last beat."""

    def __init__(self, order: str, depth: int, ends: tuple[int, ...]) -> None:
        self.split = OutlierSplit(Params(), depth=depth, order=order, windowed=True)
        self.ends = ends
        super().__init__({"i": self.split.signature.members["i"], "o": self.split.signature.members["o"]})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.split = split = self.split
        wiring.connect(m, wiring.flipped(self.i), split.i)
        wiring.connect(m, split.o, wiring.flipped(self.o))
        turn = Signal(range(len(self.ends)))
        with m.If(self.i.valid & self.i.ready & self.i.payload.last):
            m.d.sync += turn.eq(Mux(turn == len(self.ends) - 1, 0, turn + 1))
        with m.Switch(turn):
            for n, end in enumerate(self.ends):
                with m.Case(n):
                    m.d.comb += split.window_end.eq(end)
        return m


@cache
def _windowed_bench(order: str, depth: int, ends: tuple[int, ...]):
    dut = WindowedSplit(order, depth, ends)
    return dut, Bench(dut)


def _check_windows(
    order: str, depth: int, ends: tuple[int, ...], rows: list[Row], idle: str = "always", back: str = "always"
) -> None:
    """All blocks come, and hold what they should, but for full ones of outliers outside of their row's window."""
    dut, bench = _windowed_bench(order, depth, ends)
    expected = _expected(rows, order)
    source = Source(dut.i, _beats(rows), idle=idle, seed=3)
    sink = Sink(dut.o, len(expected), backpressure=back, seed=4)
    bench.run(source, sink)
    at = 0
    for row, end in zip(rows, cycle(ends), strict=False):
        last = len(_expected([row], order))
        full, appended = len(row[1]) // 16, -(-len(row[1]) // 16)
        for number in range(last):
            outlier = number - (last - appended)
            got, wanted = sink.items[at + number], expected[at + number]
            if 0 <= outlier < full and not end - depth <= outlier < end:
                got, wanted = got >> 512, wanted >> 512
            assert got == wanted, (len(row[1]), number)
        at += last


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("depth", "ends"), [(1, (0, 1, 3, 1)), (2, (5, 1, 2)), (3, (2, 4))])
def test_windows(order, depth, ends):
    """Rows with none to four times as many outliers as there is room for, one after the other."""
    _check_windows(order, depth, ends, _rows(33, 25 * len(ends), most=80))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("idle", "back"), CROSSED)
def test_flow_in_a_window(order, idle, back):
    _check_windows(order, 2, (3, 0, 5), _rows(34, 12, most=80), idle=idle, back=back)


@pytest.mark.nightly
def test_longest_row():
    """65535 channels, all of them outliers, and the last blocks of them, behind which there are no full ones."""
    words = list(range(1, 65536))
    _check_windows("in-place", 2, (4096,), [(words, list(range(65535)))])


@pytest.mark.parametrize("rounding", [0, 1, 2])
def test_options_pass_to_every_block(rounding):
    """The format goes to a row's own blocks, the rounding to all."""
    params = Params(rounding="runtime")
    for order in ORDERS:
        dut = OutlierSplit(params, order=order)
        low = (1 << 546) - 1
        beats = []
        for code in (0, 1, 2):
            row = _beats([(list(range(1, 24)), [2])], code)
            beats += [beat & low | rounding << 546 | beat >> 546 << 548 for beat in row]
        sink = Sink(dut.o, 9)
        Bench(dut).run(Source(dut.i, beats), sink)
        payloads = sink.payloads()
        assert [p.format for p in payloads] == [0, 0, 2, 1, 1, 2, 2, 2, 2]
        assert {p.rounding for p in payloads} == {rounding}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("channels", "outliers"), [(72, 5), (64, 16), (37, 37), (50, 0)])
def test_blocks_equal_those_of_golden(order, channels, outliers):
    rng = np.random.default_rng(channels)
    x = (rng.standard_normal((3, channels)) * np.exp2(rng.integers(-8, 9, channels))).astype(np.float32)
    chosen = golden.select_outliers(x, outliers)
    stored = golden.split_outliers(x, chosen, "mx6", order=order)
    params = Params()
    dut = SplitAndConvert(params, order)
    rows = [(row.view(np.uint32).tolist(), chosen.tolist()) for row in x]
    sink = Sink(dut.o, 3 * stored.blocks)
    Bench(dut).run(Source(dut.i, _beats(rows)), sink)
    for b, payload in enumerate(sink.payloads()):
        row, at = divmod(b, stored.blocks)
        fmt = next(f for f in FORMATS.values() if f.code == payload.format)
        assert fmt == stored.formats[at]
        block = payload.blocks[0]
        assert block.exponent == stored.exponents[row, at]
        assert block.micro == stored.micro[row, at]
        assert [block.elements[k].sign for k in range(16)] == stored.signs[row, at].tolist()
        magnitudes = [block.elements[k].magnitude >> 7 - fmt.magnitude_bits for k in range(16)]
        assert magnitudes == stored.magnitudes[row, at].tolist()


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"params": 1}, TypeError, r"^params must be a Params, not 1$"),
        ({"params": Params(formats=("mx6",))}, ValueError, r"^formats must have mx9 for the outliers, not \['mx6'\]$"),
        ({"depth": "4"}, TypeError, r"^depth must be an integer, not '4'$"),
        ({"depth": 0}, ValueError, r"^depth must be at least 1, not 0$"),
        ({"order": "mixed"}, ValueError, r"^order must be one of in-place, gathered, not 'mixed'$"),
    ],
)
def test_bad_arguments(arguments, kind, text):
    with pytest.raises(kind, match=text):
        OutlierSplit(**{"params": Params()} | arguments)
