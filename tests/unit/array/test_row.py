"""A feeder of one row of clusters against a model of its memory: digit planes, delays, writes beside reads, reset."""

import numpy as np
import pytest

from golden.formats import EXPONENT_BITS, MX4, MX6, MX9, PAIRS
from mixdit_hw.array.control import RowControlLayout, pointer_bits
from mixdit_hw.array.row import RowFeeder
from mixdit_hw.dot.operand import OPERAND_BITS
from mixdit_hw.dot.timing import timing_of
from mixdit_hw.params import Params
from tests.support.blocks import Block, join, random_block
from tests.support.clocked import Clocked
from tests.support.streams import to_bits
from tests.support.tiles import blocks_bits

FLAGS = ("low", "valid", "last", "first", "shift", "start", "end")
OUTPUTS = ("control_next", "a", "a_micro", "a_exponent", "a_step", "first", "shift", "start", "end")


@pytest.mark.parametrize(
    "params",
    [
        Params(a_depth=16),
        Params(a_depth=32, interleave=5, share_rows=1),
        Params(a_depth=64, interleave=16, share_rows=4),
        Params(a_depth=16, formats=("mx6", "mx4")),
        Params(a_depth=32, interleave=7, rows=3, formats=("mx4",)),
    ],
    ids=["mx9", "mx9-T5-share1", "mx9-T16-share4", "mx6-T4", "mx4-T7-3-rows"],
)
def test_against_memory(params):
    """Random control, any address, memory rewritten all the time; ``control`` is noise outside of the step's cycle."""
    depth, turns, steps = params.a_depth, params.interleave, 60
    control = RowControlLayout(pointer_bits(depth))
    seed = 10 * turns + params.magnitude_bits
    rng = np.random.default_rng(seed)
    formats = params.format_set
    low_exists = params.digits == 2
    timing = timing_of(params.loop_latency)
    flag_delays = {"first": timing.block, "shift": timing.block, "start": timing.start, "end": timing.end}

    def write(address: int, blocks: list[Block]) -> dict[str, int]:
        bits = blocks_bits(blocks, params.magnitude_bits)
        return {"write": 1, "write_address": address, "write_blocks": bits}

    def random_blocks() -> list[Block]:
        return [random_block(rng, formats[rng.integers(len(formats))]) for _ in range(params.cluster_rows)]

    memory = [random_blocks() for _ in range(depth)]
    rows = [write(address, blocks) for address, blocks in enumerate(memory)]
    expected: dict[str, dict[int, int]] = {name: {} for name in OUTPUTS}
    reading = 0  # entry that is read in the present cycle
    for _ in range(steps):
        word = {name: int(rng.integers(2)) for name in FLAGS} | {"address": int(rng.integers(2 * depth))}
        if not low_exists:
            word["low"] = 0
        bits = to_bits(control, word)
        for t in range(turns):
            now = len(rows)
            rows.append({"step": int(t == 0), "control": bits if t == 0 else int(rng.integers(1 << control.size))})
            address = int(rng.integers(depth))
            if address != reading:
                memory[address] = random_blocks()
                rows[-1] |= write(address, memory[address])
            reading = (word["address"] + t) % depth  # in the next one
            blocks = memory[reading]
            digits_at = now + RowFeeder.latency
            expected["control_next"][now + 1] = bits
            digits = join((block.operand(bool(word["low"])) for block in blocks), OPERAND_BITS)
            expected["a"][digits_at] = digits if word["valid"] else 0
            expected["a_micro"][digits_at + timing.micro] = join((block.micro for block in blocks), PAIRS)
            exponents = join((block.exponent for block in blocks), EXPONENT_BITS)
            expected["a_exponent"][digits_at + timing.exponent] = exponents if word["last"] else 0
            expected["a_step"][digits_at] = int(t == 0)
            for name, delay in flag_delays.items():
                expected[name][digits_at + delay] = word[name]
    out = Clocked(RowFeeder(params)).run(rows, OUTPUTS, tail=20)
    for name, by_cycle in expected.items():
        assert len(by_cycle) == steps * turns
        for cycle, value in by_cycle.items():
            assert out[name][cycle] == value, f"{name} in cycle {cycle}, seed {seed}"


def test_reset_stops_results():
    """No ``end`` that was on its way at a reset comes out after it; without the reset it does."""
    params = Params(a_depth=16)
    word = to_bits(RowControlLayout(pointer_bits(16)), {"valid": 1, "end": 1})
    bench = Clocked(RowFeeder(params))
    for reset in range(1, RowFeeder.latency + timing_of(params.loop_latency).end):
        rows = [{"step": 1, "control": word}, {}, {}, {}, {"step": 1}] + [{}] * 16
        assert sum(bench.run(rows, ["end"])["end"]) == 4
        rows[reset] = rows[reset] | {"rst": 1}
        assert not any(bench.run(rows, ["end"])["end"][reset + 1 :]), f"reset in cycle {reset}"


@pytest.mark.parametrize(("fmt", "bits"), [(MX9, 7), (MX6, 4), (MX4, 2)])
def test_port_widths(fmt, bits):
    dut = RowFeeder(Params(formats=(fmt.name,), a_depth=16))
    assert dut.write_blocks.as_value().shape().width == 2 * (16 + 16 * (bits + 1))
    assert len(dut.write_address) == 4
