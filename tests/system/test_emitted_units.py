"""The units that prepare A, as emitted Verilog in Verilator and Icarus, against the golden model.

The converters by themselves, on words of any kind in all formats and roundings; and the outlier split, whose recorded
output is played into the converter. All runs have idle sources and stalling sinks, from seeds.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import golden
from golden.formats import FORMATS
from mixdit_hw.emit.units import design_of
from mixdit_hw.params import ROUNDINGS, Params
from mixdit_hw.sim.images import containers
from tests.support.emitted import EmittedUnit
from tests.support.simulation import VERILOG_ENGINES, need_engine

PLAIN = Params(rounding="runtime", outlier_depth=2)
EXACT = PLAIN.replace(subnormals="exact", nonfinite="saturate")
STALLS = [(0, 0), (96, 0), (64, 160)]  # chances of idle sources and stalling sinks, of 256
Build = Callable[[str, str, Params], EmittedUnit]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a unit of a design for an engine, once; skips where the engine is missing."""

    @cache
    def compiled(engine: str, unit: str, params: Params) -> EmittedUnit:
        return EmittedUnit(engine, design_of(params, unit), tmp_path_factory.mktemp(f"{engine}-{unit}"))

    def checked(engine: str, unit: str, params: Params) -> EmittedUnit:
        need_engine(engine)
        return compiled(engine, unit, params)

    return checked


def random_words(rng: np.random.Generator, count: int) -> np.ndarray:
    """uint32 (count, 16): any bits; near one exponent, bottom and top of the range too; ties; mostly zeros."""
    words = rng.integers(0, 1 << 32, (count, 16), dtype=np.uint32)
    centre = rng.choice([1, 8, 127, 250], (count, 1)) + rng.integers(-4, 5, (count, 1))
    exponent = np.clip(centre + rng.integers(-11, 3, (count, 16)), 0, 254).astype(np.uint32)
    near = (words & np.uint32(0x807FFFFF)) | exponent << np.uint32(23)
    ties = near & np.uint32(0xFFFFC000)
    kind = rng.choice(4, (count, 1), p=[0.15, 0.35, 0.35, 0.15])
    sparse = np.where(rng.random((count, 16)) < 0.7, words & np.uint32(0x80000000), near)
    return np.select([kind == 0, kind == 1, kind == 2], [words, near, ties], sparse).astype(np.uint32)


def bits_of(words: np.ndarray) -> int:
    return int.from_bytes(words.astype("<u4").tobytes(), "little")


def options(params: Params, rounding: int) -> dict[str, Any]:
    """Of `golden.quantize`; code 3 truncates."""
    name = (*ROUNDINGS, "truncate")[rounding]
    return {"rounding": name, "subnormals": params.subnormals, "nonfinite": params.nonfinite}


def block_beats(tensor: golden.MXTensor, params: Params) -> list[int]:
    """The converter's output beats for all blocks of a tensor, row by row."""
    data = containers(tensor, slice(0, tensor.rows), slice(0, tensor.blocks), params)
    return [
        int.from_bytes(data[row, b].tobytes(), "little") | fmt.code << 8 * data.shape[-1]
        for row in range(tensor.rows)
        for b, fmt in enumerate(tensor.formats)
    ]


def random_blocks(params: Params, seed: int) -> list[tuple[np.ndarray, int, int, int]]:
    """Words, format and rounding of random blocks, and what the converter must make of each."""
    rng = np.random.default_rng(seed)
    words = random_words(rng, 400)
    formats = rng.choice([f.name for f in FORMATS.values()], len(words))
    roundings = rng.integers(0, 4, len(words))
    blocks = []
    for row, name, rounding in zip(words, formats, roundings, strict=True):
        fmt = FORMATS[str(name)]
        tensor = golden.quantize(row.view(np.float32)[np.newaxis], fmt, **options(params, int(rounding)))
        blocks.append((row, fmt.code, int(rounding), *block_beats(tensor, params)))
    return blocks


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
@pytest.mark.parametrize("params", [PLAIN, EXACT], ids=["flush-nan", "exact-saturate"])
def test_converter(engine: str, params: Params, build: Build) -> None:
    """Random blocks, each with a format and a rounding of its own."""
    unit = build(engine, "converter", params)
    for seed, (idle, stall) in enumerate(STALLS, 1):
        blocks = random_blocks(params, seed)
        beats = [bits_of(words) | code << 512 | rounding << 514 for words, code, rounding, _ in blocks]
        expected = [beat for *_, beat in blocks]
        got = unit.play({"i": beats}, {"o": len(expected)}, idle=idle, stall=stall, seed=seed)
        assert got.beats["o"] == expected, f"seed {seed}"


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
@pytest.mark.parametrize("params", [PLAIN, EXACT], ids=["flush-nan", "exact-saturate"])
def test_narrow_converter(engine: str, params: Params, build: Build) -> None:
    """The same blocks in four beats each."""
    unit = build(engine, "narrow_converter", params)
    width = 4 * (params.magnitude_bits + 1)  # of the elements of a beat
    for seed, (idle, stall) in enumerate(STALLS, 1):
        beats, expected = [], []
        for words, code, rounding, beat in random_blocks(params, seed):
            for part in range(4):
                beats.append(bits_of(words[4 * part :][:4]) | code << 128 | rounding << 130)
                elements, micro = beat >> 16 + width * part & (1 << width) - 1, beat >> 8 + 2 * part & 3
                flags = code | int(part == 3) << 2
                expected.append(beat & 0xFF | micro << 8 | elements << 10 | flags << 10 + width)
        got = unit.play({"i": beats}, {"o": len(expected)}, idle=idle, stall=stall, seed=seed)
        assert got.beats["o"] == expected, f"seed {seed}"


def row_beats(
    words: np.ndarray, outliers: np.ndarray, code: int, rounding: int, junk: np.random.Generator
) -> list[int]:
    """The outlier split's input beats for a row; what fills its last beat is random, and marked as outliers."""
    beats = []
    for start in range(0, len(words), 16):
        part = words[start : start + 16]
        missing = 16 - len(part)
        padded = np.concatenate([part, junk.integers(0, 1 << 32, missing, dtype=np.uint32)])
        present = (1 << len(part)) - 1
        marks = sum(1 << int(k) - start for k in outliers if start <= k < start + 16) | (0xFFFF & ~present)
        last = int(start + 16 >= len(words))
        flags = present | marks << 16 | code << 32 | rounding << 34 | last << 36
        beats.append(bits_of(padded) | flags << 512)
    return beats


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
def test_outlier_split_with_converter(engine: str, build: Build) -> None:
    """Random rows with none to as many outliers as there is room for: the blocks are those of `golden`."""
    split, converter = build(engine, "outlier_split", PLAIN), build(engine, "converter", PLAIN)
    most = 16 * PLAIN.outlier_depth + 15
    for seed, (idle, stall) in enumerate(STALLS, 11):
        rng = np.random.default_rng(seed)
        beats, expected = [], []
        for _ in range(80):
            length = int(rng.choice([1, 15, 16, 17, 48, int(rng.integers(1, 97))]))
            words = random_words(rng, 6).reshape(-1)[:length]
            count = int(rng.choice([0, 1, 16, int(rng.integers(0, most + 1)), most]))
            outliers = np.sort(rng.permutation(length)[:count])
            fmt, rounding = FORMATS[str(rng.choice(list(FORMATS)))], int(rng.integers(0, 4))
            beats += row_beats(words, outliers, fmt.code, rounding, rng)
            values = words.view(np.float32)[np.newaxis]
            stored = golden.split_outliers(values, outliers, fmt, **options(PLAIN, rounding))
            expected += block_beats(stored, PLAIN)
        divided = split.play({"i": beats}, {"o": len(expected)}, idle=idle, stall=stall, seed=seed)
        assert divided.flags == {"overflow": 0}
        got = converter.play({"i": divided.beats["o"]}, {"o": len(expected)}, idle=stall, stall=idle, seed=seed)
        assert got.beats["o"] == expected, f"seed {seed}"


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
def test_overflow_of_the_outlier_split_is_told(engine: str, build: Build) -> None:
    """One outlier too many: a block is lost, and ``overflow`` rises."""
    split = build(engine, "outlier_split", PLAIN)
    rng = np.random.default_rng(31)
    count = 16 * PLAIN.outlier_depth + 16
    beats = row_beats(random_words(rng, 4).reshape(-1), np.arange(count), 1, 0, rng)
    kept = 4 + PLAIN.outlier_depth
    told = split.play({"i": beats}, {"o": kept}, idle=64, stall=64, seed=31)
    assert (told.flags, len(told.beats["o"])) == ({"overflow": 1}, kept)
