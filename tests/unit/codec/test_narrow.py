"""The narrow converter against the scalar reference."""

from functools import cache

import pytest

from golden.formats import FORMATS, Format
from mixdit_hw.codec.narrow import PART, PARTS, NarrowConverter
from mixdit_hw.params import ROUNDINGS, Params
from tests.support.mx_reference import convert
from tests.support.streams import CROSSED, Bench, Sink, Source, assert_full_rate, latency
from tests.unit.codec.test_convert import CORNERS, random_cases

Case = tuple[list[int], Format, str]


@cache
def _bench(rounding: str = "runtime", subnormals: str = "flush", nonfinite: str = "nan", formats=tuple(FORMATS)):
    params = Params(rounding=rounding, subnormals=subnormals, nonfinite=nonfinite, formats=formats)
    dut = NarrowConverter(params)
    return params, dut, Bench(dut)


def _beats(params: Params, words: list[int], fmt: Format, rounding: str) -> list[int]:
    """Bits of the input beats of a block; of format and rounding only the last beat's are good."""
    beats = []
    for part in range(PARTS):
        bits = sum(word << 32 * k for k, word in enumerate(words[PART * part :][:PART]))
        code, mode = fmt.code, ROUNDINGS.index(rounding)
        if part < PARTS - 1:
            code, mode = (code + part + 1) % 4, (mode + part + 1) % 4
        beats.append(bits | code << 128 | (mode << 130 if params.rounding == "runtime" else 0))
    return beats


def _expected(params: Params, words: list[int], fmt: Format, rounding: str) -> list[int]:
    """Bits of the output beats, by the scalar reference."""
    width = params.magnitude_bits + 1
    block = convert(words, fmt, rounding, params.subnormals, params.nonfinite).container(fmt, params.magnitude_bits)
    beats = []
    for part in range(PARTS):
        micro, elements = block >> 8 + 2 * part & 0x3, block >> 16 + PART * width * part & (1 << PART * width) - 1
        flags = fmt.code | int(part == PARTS - 1) << 2
        beats.append(block & 0xFF | micro << 8 | elements << 10 | flags << 10 + PART * width)
    return beats


def _check(bench, cases: list[Case], *, idle: str = "always", back: str = "always") -> tuple[Source, Sink]:
    params, dut, simulation = bench
    source = Source(dut.i, [beat for case in cases for beat in _beats(params, *case)], idle=idle, seed=1)
    sink = Sink(dut.o, PARTS * len(cases), backpressure=back, seed=2)
    simulation.run(source, sink)
    for k, case in enumerate(cases):
        got, expected = sink.items[PARTS * k :][:PARTS], _expected(params, *case)
        words = " ".join(f"{word:08x}" for word in case[0])
        assert got == expected, f"block {k}, {case[1]} {case[2]} of {words}: {got} instead of {expected}"
    return source, sink


@pytest.mark.parametrize("nonfinite", ["nan", "saturate"])
@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_options(subnormals, nonfinite):
    bench = _bench(subnormals=subnormals, nonfinite=nonfinite)
    _check(bench, random_cases(21, 250, list(FORMATS), ROUNDINGS))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_fixed_at_generation(rounding):
    _check(_bench(rounding), random_cases(22, 100, list(FORMATS), [rounding]))


@pytest.mark.parametrize("formats", [("mx9",), ("mx6",), ("mx4",), ("mx6", "mx4"), ("mx9", "mx4")])
def test_format_subsets(formats):
    _check(_bench(formats=formats), random_cases(23, 80, formats, ROUNDINGS))


@pytest.mark.parametrize("nonfinite", ["nan", "saturate"])
@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_corner_blocks(subnormals, nonfinite):
    cases = [(words, fmt, rounding) for words in CORNERS for fmt in FORMATS.values() for rounding in ROUNDINGS]
    _check(_bench(subnormals=subnormals, nonfinite=nonfinite), cases)


@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_largest_exponent_anywhere(subnormals):
    """The largest exponent in each place, and in each two; all others 1 to 10 below it, down to the bottom."""
    cases = []
    for top in (1, 7, 8, 9, 15, 16, 17, 128, 254):
        for first in range(16):
            words = [max(0, top - 1 - (k + first) % 10) << 23 | 0x555555 for k in range(16)]
            for second in (first, (first + 5) % 16):
                words[first] = top << 23 | 0x2AAAAA
                words[second] = top << 23 | 0x2AAAAA
                cases.append((list(words), FORMATS["mx9"], "nearest-even"))
    _check(_bench(subnormals=subnormals), cases)


@pytest.mark.parametrize(("idle", "back"), CROSSED)
def test_flow(idle, back):
    _check(_bench(), random_cases(24, 30, list(FORMATS), ROUNDINGS), idle=idle, back=back)


def test_four_words_a_cycle_and_latency():
    bench = _bench()
    source, sink = _check(bench, random_cases(25, 40, list(FORMATS), ROUNDINGS))
    assert_full_rate(source, sink)
    assert latency(source, sink) == bench[1].latency


def test_a_stall_costs_a_turn():
    """A pause of one cycle, at either end, makes all that follows come one turn later."""
    params, dut, simulation = _bench()
    cases = random_cases(26, 6, list(FORMATS), ROUNDINGS)
    beats = [beat for case in cases for beat in _beats(params, *case)]
    ends = []
    for idle, back in (("always", "always"), ("1111110" + 40 * "1", "always"), ("always", 11 * "1" + "0" + 40 * "1")):
        source, sink = Source(dut.i, beats, idle=idle), Sink(dut.o, len(beats), backpressure=back)
        simulation.run(source, sink)
        ends.append((source.cycles[-1], sink.cycles[-1]))
    (source_end, sink_end), *paused = ends
    assert paused == 2 * [(source_end + PARTS, sink_end + PARTS)]


def test_reset_in_the_middle_of_a_block():
    params, dut, simulation = _bench()
    cases = random_cases(27, 4, list(FORMATS), ROUNDINGS)
    beats = [beat for case in cases for beat in _beats(params, *case)]
    expected = [beat for case in cases for beat in _expected(params, *case)]
    for after in range(3, 12):
        cut = [Source(dut.i, beats), Sink(dut.o, len(beats))]
        source, sink = Source(dut.i, beats), Sink(dut.o, len(beats))
        simulation.run(source, sink, interrupted=cut, after=after)
        assert sink.items == expected, f"after {after}"


def test_unknown_format_converts_as_the_widest():
    params, dut, simulation = _bench(formats=("mx6", "mx4"))
    words, _, _ = random_cases(28, 1, ["mx6"], ["nearest-even"])[0]
    beats = [beat | code << 128 for code in (1, 2, 3) for beat in _words_only(words)]
    sink = Sink(dut.o, len(beats))
    simulation.run(Source(dut.i, beats), sink)
    width = 10 + PART * (params.magnitude_bits + 1)
    blocks = [sink.items[PARTS * k :][:PARTS] for k in range(3)]
    assert len({tuple(item & (1 << width) - 1 for item in block) for block in blocks}) == 1
    assert [[item >> width & 3 for item in block] for block in blocks] == [4 * [1], 4 * [2], 4 * [3]]


def _words_only(words: list[int]) -> list[int]:
    return [sum(word << 32 * k for k, word in enumerate(words[PART * part :][:PART])) for part in range(PARTS)]


def test_rejects_what_is_no_params():
    with pytest.raises(TypeError, match=r"^params must be a Params, not 'small'$"):
        NarrowConverter("small")  # pyright: ignore[reportArgumentType]
