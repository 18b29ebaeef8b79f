"""A row feeder against a model of its memory: digit planes, delays, skew, writes beside reads, reset."""

import numpy as np
import pytest

from golden.formats import MX4, MX6, MX9
from mixdit_hw.array.control import RowControlLayout, pointer_bits
from mixdit_hw.array.row import RowFeeder
from mixdit_hw.dot.engine import BLOCK_DELAY, END_DELAY, EXPONENT_DELAY, MICRO_DELAY, START_DELAY
from mixdit_hw.params import Params
from tests.support.blocks import Block, random_block
from tests.support.clocked import Clocked
from tests.support.streams import to_bits

FLAGS = ("low", "valid", "last", "first", "shift", "start", "end")
FLAG_DELAYS = {"first": BLOCK_DELAY, "shift": BLOCK_DELAY, "start": START_DELAY, "end": END_DELAY}
OUTPUTS = ("control_next", "a", "a_micro", "a_exponent", "a_step", "first", "shift", "start", "end")


@pytest.mark.parametrize(
    "params",
    [
        Params(a_depth=16),
        Params(a_depth=32, interleave=5),
        Params(a_depth=64, interleave=16),
        Params(a_depth=16, formats=("mx6", "mx4")),
        Params(a_depth=32, interleave=7, formats=("mx4",)),
    ],
    ids=["mx9", "mx9-T5", "mx9-T16", "mx6-T4", "mx4-T7"],
)
def test_against_memory(params):
    """Random control, any address, memory rewritten all the time; ``control`` is noise outside of the step's cycle."""
    depth, turns, steps = params.a_depth, params.interleave, 60
    control = RowControlLayout(pointer_bits(depth))
    seed = 10 * turns + params.magnitude_bits
    rng = np.random.default_rng(seed)
    formats = params.format_set
    low_exists = params.digits == 2

    memory: list[Block] = []
    rows: list[dict[str, int]] = []
    for address in range(depth):
        memory.append(random_block(rng, formats[rng.integers(len(formats))]))
        rows.append({"write": 1, "write_address": address, "write_block": memory[-1].container(params.magnitude_bits)})
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
                memory[address] = random_block(rng, formats[rng.integers(len(formats))])
                written = memory[address].container(params.magnitude_bits)
                rows[-1] |= {"write": 1, "write_address": address, "write_block": written}
            reading = (word["address"] + t) % depth  # in the next one
            block = memory[reading]
            digits_at = now + RowFeeder.latency
            expected["control_next"][now + 1] = bits
            expected["a"][digits_at] = block.operand(bool(word["low"])) if word["valid"] else 0
            expected["a_micro"][digits_at + MICRO_DELAY] = block.micro
            expected["a_exponent"][digits_at + EXPONENT_DELAY] = block.exponent if word["last"] else 0
            expected["a_step"][digits_at] = int(t == 0)
            for name, delay in FLAG_DELAYS.items():
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
    for reset in range(1, RowFeeder.latency + END_DELAY):
        rows = [{"step": 1, "control": word}, {}, {}, {}, {"step": 1}] + [{}] * 16
        assert sum(bench.run(rows, ["end"])["end"]) == 4
        rows[reset] = rows[reset] | {"rst": 1}
        assert not any(bench.run(rows, ["end"])["end"][reset + 1 :]), f"reset in cycle {reset}"


@pytest.mark.parametrize(("fmt", "bits"), [(MX9, 7), (MX6, 4), (MX4, 2)])
def test_port_widths(fmt, bits):
    dut = RowFeeder(Params(formats=(fmt.name,), a_depth=16))
    assert dut.write_block.as_value().shape().width == 16 + 16 * (bits + 1)
    assert len(dut.write_address) == 4
