"""Images of streams against the layouts that the hardware declares."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.lib import data

import golden
from mixdit_hw.params import Params
from mixdit_hw.shapes import BlockBeatLayout, CommandLayout
from mixdit_hw.sim.bench import beat_bytes, block_bytes, result_words
from mixdit_hw.sim.images import (
    a_beats,
    command_beats,
    containers,
    make_plan,
    read_beats,
    read_result,
    w_beats,
    write_images,
)
from mixdit_hw.sim.plan import Plan
from tests.support.errors import raises_exactly
from tests.support.mx_data import random_tensor

SETS = [("mx9", "mx6", "mx4"), ("mx6", "mx4"), ("mx4",)]


def design(formats: tuple[str, ...], **changes: int) -> Params:
    return Params(**{"rows": 2, "columns": 3, "formats": formats, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("formats", SETS)
def test_beats_are_what_the_layout_says(formats: tuple[str, ...]) -> None:
    """Every field of every block of every beat, read through the hardware's own layout."""
    params = design(formats)
    rng = np.random.default_rng(7)
    a = random_tensor(rng, 11, [formats[-1], formats[0], formats[-1]])
    plan = Plan(params=params, m=11, n=1, blocks=3)
    layout = BlockBeatLayout(params.rows, params.magnitude_bits)
    beats = np.concatenate(list(a_beats(a, plan)))
    assert len(beats) == plan.m_tiles * 3 * params.interleave
    for i, beat in enumerate(beats):
        tile, block, t = np.unravel_index(i, (plan.m_tiles, 3, params.interleave))
        value = data.Const(layout, int.from_bytes(beat.tobytes(), "little"))
        assert value.format == a.formats[block].code
        shift = params.magnitude_bits - a.formats[block].magnitude_bits
        for r in range(params.rows):
            row = int(tile) * params.tile_rows + r * params.interleave + int(t)
            found = value.blocks[r]
            if row >= a.rows:
                assert found.as_value().value == 0
                continue
            assert found.exponent == a.exponents[row, block]
            assert found.micro == a.micro[row, block]
            for j in range(16):
                assert found.elements[j].magnitude == a.magnitudes[row, block, j] << shift
                assert found.elements[j].sign == a.signs[row, block, j]


def test_w_beats_run_along_k_then_columns() -> None:
    params = design(SETS[0])
    w = random_tensor(np.random.default_rng(8), 5, ["mx9", "mx9"], axis=0)
    plan = Plan(params=params, m=1, n=5, blocks=2)
    beats = np.concatenate(list(w_beats(w, plan)))
    blocks = containers(w, slice(0, 6), slice(0, 2), params)
    assert beats.shape == (2 * 2, beat_bytes(params)["w"])
    for tile in range(2):
        for k in range(2):
            assert (beats[2 * tile + k, :-1].reshape(3, -1) == blocks[3 * tile : 3 * tile + 3, k]).all()
            assert beats[2 * tile + k, -1] == golden.MX9.code
    assert not blocks[5].any()


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    params = design(SETS[0])
    a = random_tensor(np.random.default_rng(9), 9, ["mx9", "mx6", "mx4", "mx6"])
    plan = Plan(params=params, m=9, n=1, blocks=4)
    whole = list(a_beats(a, plan))
    monkeypatch.setattr("mixdit_hw.sim.images._CHUNK_BYTES", 1)
    pieces = list(a_beats(a, plan))
    assert len(pieces) == 4 * len(whole)
    assert (np.concatenate(pieces) == np.concatenate(whole)).all()


def test_commands_are_what_the_layout_says() -> None:
    plan = Plan(params=design(SETS[0]), m=1, n=1, blocks=600, max_command=500)
    values = [data.Const(CommandLayout(), int.from_bytes(b.tobytes(), "little")) for b in command_beats(plan)]
    assert [(v.blocks, v.accumulate) for v in values] == [(500, 1), (100, 0)]


def test_images_are_read_back(tmp_path: Path) -> None:
    params = design(SETS[0])
    rng = np.random.default_rng(10)
    a, w = random_tensor(rng, 3, ["mx6"] * 2), random_tensor(rng, 4, ["mx9"] * 2, axis=0)
    plan = make_plan(a, w, params)
    write_images(a, w, plan, tmp_path)
    sizes = beat_bytes(params)
    assert (read_beats(tmp_path / "a.bin", sizes["a"]) == np.concatenate(list(a_beats(a, plan)))).all()
    assert (read_beats(tmp_path / "w.bin", sizes["w"]) == np.concatenate(list(w_beats(w, plan)))).all()
    assert (read_beats(tmp_path / "cmd.bin", 3) == command_beats(plan)).all()


@pytest.mark.parametrize("drain", [1, 2])
def test_result_beats_find_their_place(tmp_path: Path, drain: int) -> None:
    params = design(SETS[0], drain=drain)
    plan = Plan(params=params, m=11, n=4, blocks=1)
    record = np.zeros((plan.m_tiles, plan.n_tiles, params.tile_beats, result_words(params)), np.uint32)
    record[:, :, -1, -1] = 1
    step = params.rows // drain * params.interleave
    for mt, nt, i, g, c in np.ndindex(plan.m_tiles, plan.n_tiles, params.tile_beats, drain, params.columns):
        row, column = mt * params.tile_rows + g * step + i, nt * params.columns + c
        record[mt, nt, i, g * params.columns + c] = 1000 * row + column
    record.tofile(tmp_path / "c.bin")
    words = read_result(tmp_path / "c.bin", plan).view(np.uint32)
    assert (words == 1000 * np.arange(11)[:, np.newaxis] + np.arange(4)).all()


def test_misplaced_last_and_short_record(tmp_path: Path) -> None:
    params = design(SETS[0])
    plan = Plan(params=params, m=1, n=1, blocks=1)
    record = np.zeros((params.tile_beats, result_words(params)), np.uint32)
    record.tofile(tmp_path / "c.bin")
    with raises_exactly(ValueError, "c.bin must have last on the last beat of each tile and on no other"):
        read_result(tmp_path / "c.bin", plan)
    record[:-1].tofile(tmp_path / "c.bin")
    with raises_exactly(ValueError, f"c.bin must have {record.nbytes} bytes, not {record[:-1].nbytes}"):
        read_result(tmp_path / "c.bin", plan)


def test_operands_that_do_not_fit() -> None:
    rng = np.random.default_rng(11)
    params = design(("mx6", "mx4"))
    a, w = random_tensor(rng, 3, ["mx6"] * 2), random_tensor(rng, 4, ["mx6"] * 2, axis=0)
    cases = [
        (random_tensor(rng, 3, ["mx9"] * 2), w, "a must be in a format of the design (mx6, mx4), not mx9"),
        (a, random_tensor(rng, 4, ["mx9"] * 2, axis=0), "w must be in a format of the design (mx6, mx4), not mx9"),
        (random_tensor(rng, 3, ["mx6"]), w, "a and w must have the same number of K blocks, not 1 and 2"),
        (
            golden.quantize(np.ones((3, 17), np.float32), "mx6"),
            w,
            "a and w must have the same number of K positions in block 1, not 1 and 16",
        ),
        (a, a, "w must be 2-D and blocked along axis 0, not 2-D along axis 1"),
        (
            golden.quantize(np.ones((2, 2, 16), np.float32), "mx6"),
            w,
            "a must be 2-D and blocked along axis 1, not 3-D along axis 2",
        ),
    ]
    for x, y, text in cases:
        with raises_exactly(ValueError, text):
            make_plan(x, y, params)


def test_segments_that_are_not_aligned() -> None:
    """As many blocks and as many positions in all, but of other channels."""
    x = np.ones((32, 32), np.float32)
    a = golden.concat([golden.quantize(x[:, :k].copy(), "mx6") for k in (17, 15)])
    w = golden.concat([golden.quantize(x[:k], "mx6", axis=0) for k in (15, 17)])
    assert (a.blocks, a.shape[1]) == (w.blocks, w.shape[0]) == (3, 32)
    with raises_exactly(ValueError, "a and w must have the same number of K positions in block 0, not 16 and 15"):
        make_plan(a, w, design(SETS[0]))
    halves = golden.concat([golden.quantize(x[:16], "mx9", axis=0)] * 2)
    assert make_plan(golden.quantize(x, "mx6"), halves, design(SETS[0])).blocks == 2


def test_image_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    a, w = random_tensor(rng, 3, ["mx6"]), random_tensor(rng, 4, ["mx6"], axis=0)
    monkeypatch.setattr("mixdit_hw.sim.images.MAX_IMAGE_BYTES", 100)
    params = design(SETS[0])
    size = params.interleave * (2 * block_bytes(params) + 1)
    with raises_exactly(ValueError, f"the image of stream a must be at most 100 bytes, not {size}"):
        make_plan(a, w, params)
