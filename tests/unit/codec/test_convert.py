"""The converter against the worked examples, a scalar reference and the golden model."""

import random
from functools import cache

import numpy as np
import pytest

import golden
from golden.formats import FORMATS, Format
from mixdit_hw.codec.convert import Converter
from mixdit_hw.params import ROUNDINGS, Params
from tests.support.mx_reference import convert
from tests.support.streams import CROSSED, Bench, Sink, Source, assert_full_rate, latency
from tests.support.worked import X1, X4, X5, X6

ZERO = "00000000 00000000 00000000 80000000" + 12 * " 00000000"
WORKED = [  # worked by hand: words, format, rounding, packed bytes
    (X1, "mx9", "nearest-even", "80bd40a06557068d5bef00800000ff181886"),
    (X1, "mx9", "truncate", "80bd40a06456068c5aee00800000ff181886"),
    (X1, "mx6", "nearest-even", "80bd88b615e4f20002f0c788"),
    (X1, "mx6", "truncate", "80bd883205e2ea0002f0c780"),
    (X1, "mx4", "nearest-even", "80bdea06ee20f084"),
    (X1, "mx4", "truncate", "80bdea04ea207080"),
    (X4, "mx9", "nearest-even", "7fca7fff7fff40407f2b7f7f7f7f40410201"),
    (X4, "mx9", "truncate", "7fca7fff7fff403f7f2a7f7f7f7f40400201"),
    (X5, "mx9", "nearest-even", "02f740ff0080008040e00000000000000000"),
    (X6, "mx6", "nearest-even", "7dfb335421500871de02d108"),
    (ZERO, "mx6", "nearest-even", "000000000800000000000000"),
]
INF, NAN, ONE, BIGGEST = 0x7F800000, 0x7FC00000, 0x3F800000, 0x7F7FFFFF
CORNERS = [
    [0] * 16,
    [1 << 31] * 16,
    [1] * 16,
    [0x007FFFFF] * 16,
    [BIGGEST] * 16,
    [0xFF7FFFFF, *[0] * 15],
    [INF, *[ONE] * 15],
    [*[ONE] * 15, INF | 1 << 31],
    [*[ONE] * 15, NAN],
    [NAN | 1 << 31, *[0] * 15],
    [0x7F800001, *[1 << 31] * 15],
    [NAN, INF] * 8,
]


@cache
def _bench(rounding: str = "runtime", subnormals: str = "flush", nonfinite: str = "nan", formats=tuple(FORMATS)):
    params = Params(rounding=rounding, subnormals=subnormals, nonfinite=nonfinite, formats=formats)
    dut = Converter(params)
    return params, dut, Bench(dut)


def _beat(params: Params, words: list[int], fmt: Format, rounding: str) -> int:
    """Bits of an input beat."""
    bits = sum(word << 32 * k for k, word in enumerate(words)) | fmt.code << 512
    return bits | ROUNDINGS.index(rounding) << 514 if params.rounding == "runtime" else bits


def _expected(params: Params, words: list[int], fmt: Format, rounding: str) -> int:
    """Bits of an output beat, by the scalar reference."""
    block = convert(words, fmt, rounding, params.subnormals, params.nonfinite)
    width = 16 + 16 * (params.magnitude_bits + 1)
    return block.container(fmt, params.magnitude_bits) | fmt.code << width


def _words(rng: random.Random) -> list[int]:
    """16 words of one of many kinds: any bits, near one exponent, ties, bottom, top, special, mostly zero."""
    kind = rng.choice(["any", "near", "near", "near", "ties", "ties", "bottom", "top", "special", "sparse"])
    centre = {"bottom": 1, "top": 250}.get(kind, rng.randrange(1, 255))
    words = []
    for _ in range(16):
        exponent = min(254, max(0, centre + rng.randrange(-11, 3)))
        fraction = rng.getrandbits(23)
        if kind == "any":
            exponent = rng.randrange(255)
        elif kind == "ties" or rng.random() < 0.2:  # few bits, or all ones but few, perhaps one off
            fraction = rng.getrandbits(9) << 14 | rng.choice([0, 0, 0, 1, 0x3FFF])
            fraction = fraction | (0x7FFFFF & ~0x7FFF) if rng.random() < 0.3 else fraction
        elif kind == "special" and rng.random() < 0.1:
            exponent, fraction = 255, rng.choice([0, 0, 1, 1 << 22, fraction])
        elif kind == "sparse" and rng.random() < 0.8:
            exponent, fraction = 0, rng.choice([0, 0, 1, fraction])
        words.append(rng.getrandbits(1) << 31 | exponent << 23 | fraction)
    return words


def random_cases(seed: int, count: int, formats, roundings) -> list[tuple[list[int], Format, str]]:
    rng = random.Random(seed)
    return [(_words(rng), FORMATS[rng.choice(formats)], rng.choice(roundings)) for _ in range(count)]


def _check(bench, cases, *, idle="always", back="always") -> tuple[Source, Sink]:
    params, dut, simulation = bench
    source = Source(dut.i, [_beat(params, *case) for case in cases], idle=idle, seed=1)
    sink = Sink(dut.o, len(cases), backpressure=back, seed=2)
    simulation.run(source, sink)
    for k, (case, got) in enumerate(zip(cases, sink.items, strict=True)):
        expected = _expected(params, *case)
        words = " ".join(f"{word:08x}" for word in case[0])
        assert got == expected, f"block {k}, {case[1]} {case[2]} of {words}: {got:#x} instead of {expected:#x}"
    return source, sink


def test_worked_examples():
    params, dut, simulation = _bench()
    rows = [([int(word, 16) for word in words.split()], FORMATS[fmt], rnd) for words, fmt, rnd, _ in WORKED]
    sink = Sink(dut.o, len(rows))
    simulation.run(Source(dut.i, [_beat(params, *row) for row in rows]), sink)
    for (_, fmt, _), payload, (*_, packed) in zip(rows, sink.payloads(), WORKED, strict=True):
        block = payload.blocks[0]
        bits = block.exponent | block.micro << 8
        for k in range(16):
            magnitude = block.elements[k].magnitude >> 7 - fmt.magnitude_bits
            bits |= (block.elements[k].sign << fmt.magnitude_bits | magnitude) << 16 + k * fmt.element_bits
        assert bits.to_bytes(fmt.block_bytes, "little").hex() == packed
        assert payload.format == fmt.code


@pytest.mark.parametrize("nonfinite", ["nan", "saturate"])
@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_options(subnormals, nonfinite):
    bench = _bench(subnormals=subnormals, nonfinite=nonfinite)
    _check(bench, random_cases(11, 250, list(FORMATS), ROUNDINGS))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_fixed_at_generation(rounding):
    _check(_bench(rounding), random_cases(12, 120, list(FORMATS), [rounding]))


@pytest.mark.parametrize("formats", [("mx9",), ("mx6",), ("mx4",), ("mx6", "mx4"), ("mx9", "mx4")])
def test_format_subsets(formats):
    _check(_bench(formats=formats), random_cases(13, 100, formats, ROUNDINGS))


@pytest.mark.parametrize(("subnormals", "nonfinite"), [("flush", "nan"), ("exact", "saturate")])
def test_every_alignment_of_every_tie(subnormals, nonfinite):
    """One element walks below a block exponent, at every distance and with each pattern of its top bits."""
    cases = []
    for distance in range(11):
        for top in range(0, 512, 16):
            walk = [(150 - distance) << 23 | (top + k) << 14 for k in range(15)]
            for fmt in FORMATS.values():
                cases.append(([150 << 23, *walk], fmt, "nearest-even"))
    _check(_bench(subnormals=subnormals, nonfinite=nonfinite), cases)


def test_corner_blocks():
    cases = [(words, fmt, rounding) for words in CORNERS for fmt in FORMATS.values() for rounding in ROUNDINGS]
    for subnormals in ("flush", "exact"):
        for nonfinite in ("nan", "saturate"):
            _check(_bench(subnormals=subnormals, nonfinite=nonfinite), cases)


@pytest.mark.parametrize(("idle", "back"), CROSSED)
def test_flow(idle, back):
    _check(_bench(), random_cases(14, 40, list(FORMATS), ROUNDINGS), idle=idle, back=back)


def test_one_block_a_cycle_and_latency():
    bench = _bench()
    source, sink = _check(bench, random_cases(15, 60, list(FORMATS), ROUNDINGS))
    assert_full_rate(source, sink)
    assert latency(source, sink) == bench[1].latency


def test_unknown_format_converts_as_the_widest():
    _, dut, simulation = _bench(formats=("mx6", "mx4"))
    words = _words(random.Random(16))
    beats = [sum(word << 32 * k for k, word in enumerate(words)) | code << 512 for code in (1, 2, 3)]
    sink = Sink(dut.o, 3)
    simulation.run(Source(dut.i, beats), sink)
    blocks = {item & (1 << 96) - 1 for item in sink.items}
    assert len(blocks) == 1
    assert [item >> 96 for item in sink.items] == [1, 2, 3]


def test_rounding_code_3_truncates():
    _, dut, simulation = _bench()
    words = [int(word, 16) for word in X1.split()]
    beats = [sum(word << 32 * k for k, word in enumerate(words)) | 2 << 512 | code << 514 for code in (1, 3)]
    sink = Sink(dut.o, 2)
    simulation.run(Source(dut.i, beats), sink)
    assert sink.items[0] == sink.items[1]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_golden_agrees_with_the_reference(fmt, rounding):
    """The two models of the tests of hardware and software agree, options included."""
    cases = [words for words, _, _ in random_cases(17, 200, [fmt.name], [rounding])]
    x = np.array(cases, dtype=np.uint32).view(np.float32)
    for subnormals in ("flush", "exact"):
        for nonfinite in ("nan", "saturate"):
            q = golden.quantize(x, fmt.name, rounding=rounding, subnormals=subnormals, nonfinite=nonfinite)
            blocks = [convert(words, fmt, rounding, subnormals, nonfinite) for words in cases]
            packed = b"".join(block.pack(fmt).to_bytes(fmt.block_bytes, "little") for block in blocks)
            assert bytes(q.pack()) == packed


def test_rejects_what_is_no_params():
    with pytest.raises(TypeError, match=r"^params must be a Params, not 'small'$"):
        Converter("small")  # pyright: ignore[reportArgumentType]
