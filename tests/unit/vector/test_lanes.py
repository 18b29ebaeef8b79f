"""Scaled results, L columns at a time, against the golden model."""

from functools import cache

import numpy as np
import pytest

import golden
from mixdit_hw.params import Params
from mixdit_hw.vector.lanes import ScaleLanes, lanes_latency
from tests.support.results import SPECIAL, Results, wide
from tests.support.streams import Bench, Sink, Source, assert_full_rate, latency

DESIGNS = {
    "one": Params(rows=1, columns=1),
    "odd": Params(rows=3, columns=3, drain=3),
    "pairs": Params(rows=2, columns=6, loop_latency=8, interleave=8, a_depth=32),
}


@cache
def _bench(name: str) -> tuple[ScaleLanes, Bench]:
    dut = ScaleLanes(DESIGNS[name])
    return dut, Bench(dut)


def run(name: str, bf16: bool, idle: str, back: str) -> tuple[Source, Sink]:
    """Two tiles with the same scale and bias for all columns."""
    dut, bench = _bench(name)
    params = DESIGNS[name]
    lanes = params.store_lanes
    job = Results(params=params, m=2 * params.tile_rows - 1, n=params.columns)
    scale, bias = wide(np.random.default_rng(7), (2, 1), SPECIAL)
    acc = np.concatenate([tile.reshape(-1, lanes) for tile in job.tile_words()])
    acc = np.where(acc & 0x7F800000, acc, 0)  # the core has no subnormals, and one NaN
    acc = np.where(np.isnan(acc.view(np.float32)), np.uint32(0x7FC00000), acc)
    beats = acc.reshape(-1, params.drain * params.columns)
    y = golden.scale_and_bias(acc.view(np.float32), scale, bias)
    want = golden.to_bfloat16(y).astype(np.uint32) << 16 if bf16 else y.view(np.uint32)
    items = [
        int.from_bytes(beat.tobytes(), "little") | ((i + 1) % params.tile_beats == 0) << 32 * len(beat)
        for i, beat in enumerate(beats)
    ]
    tiles = Source(dut.tile, job.tile_bits(), idle=idle, seed=1)
    core = Source(dut.c, items, idle=idle, seed=2)
    taken = Sink(dut.tile_o, 2, backpressure=back, seed=3)
    out = Sink(dut.o, len(want), backpressure=back, seed=4)
    pins = [(dut.bf16, int(bf16))]
    for words, value in ((dut.scale, scale), (dut.bias, bias)):
        pins += [(word, int(value.view(np.uint32)[0])) for word in words]
    bench.run(tiles, core, taken, out, pins=pins)
    assert taken.items == job.tile_bits()
    got = np.array([[item >> 32 * k & 0xFFFFFFFF for k in range(lanes)] for item in out.items], np.uint32)
    mask = np.uint32(0xFFFF0000 if bf16 else 0xFFFFFFFF)
    assert np.array_equal(got & mask, want & mask)
    return core, out


@pytest.mark.parametrize(("bf16", "idle", "back"), [(False, "random", "bursts"), (True, "bursts", "random")])
@pytest.mark.parametrize("name", DESIGNS)
def test_words(name: str, bf16: bool, idle: str, back: str) -> None:
    run(name, bf16, idle, back)


@pytest.mark.parametrize("name", DESIGNS)
def test_latency_and_rate(name: str) -> None:
    """A group in every cycle; the first beat waits for its tile for a cycle."""
    core, out = run(name, False, "always", "always")
    assert_full_rate(out)
    groups = DESIGNS[name].drain * DESIGNS[name].columns // DESIGNS[name].store_lanes
    assert latency(core, out) == lanes_latency(DESIGNS[name]) - (groups - 1)  # it is taken with its last group
    assert out.cycles[0] == 1 + lanes_latency(DESIGNS[name])
