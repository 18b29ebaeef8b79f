"""A column feeder against a model of its memory."""

import numpy as np
import pytest

from mixdit_hw.array.column import ColumnFeeder
from mixdit_hw.array.control import ColumnControlLayout, pointer_bits
from mixdit_hw.params import Params
from tests.support.blocks import Block, random_block
from tests.support.clocked import Clocked
from tests.support.streams import to_bits

OUTPUTS = ("control_next", "w", "w_micro", "w_exponent")


@pytest.mark.parametrize(
    "params",
    [
        Params(w_depth=4),
        Params(w_depth=16, interleave=7),
        Params(w_depth=8, formats=("mx6", "mx4")),
        Params(w_depth=4, formats=("mx4",)),
    ],
    ids=["mx9", "mx9-T7", "mx6", "mx4"],
)
def test_against_memory(params):
    """Each step reads one entry for T cycles, while others are rewritten; delays are exact."""
    depth, turns = params.w_depth, params.interleave
    control = ColumnControlLayout(pointer_bits(depth))
    seed = depth + params.magnitude_bits
    rng = np.random.default_rng(seed)
    formats = params.format_set

    memory: list[Block] = []
    rows: list[dict[str, int]] = []
    for address in range(depth):
        memory.append(random_block(rng, formats[rng.integers(len(formats))]))
        rows.append({"write": 1, "write_address": address, "write_block": memory[-1].container(params.magnitude_bits)})
    expected: dict[str, dict[int, int]] = {name: {} for name in OUTPUTS}
    reading = 0  # entry that is read in the present cycle
    for _ in range(60):
        word = {name: int(rng.integers(2)) for name in ("last", "low")}
        word["address"] = int(rng.integers(2 * depth))
        if params.digits == 1:
            word["low"] = 0
        bits, entry = to_bits(control, word), word["address"] % depth
        for _ in range(turns):
            now = len(rows)
            rows.append({"control": bits})
            address = int(rng.integers(depth))
            if address not in (reading, entry):
                memory[address] = random_block(rng, formats[rng.integers(len(formats))])
                written = memory[address].container(params.magnitude_bits)
                rows[-1] |= {"write": 1, "write_address": address, "write_block": written}
            reading = entry  # in the next cycle
            block, digits_at = memory[entry], now + ColumnFeeder.latency
            expected["control_next"][now + 1] = bits
            expected["w"][digits_at] = block.operand(bool(word["low"]))
            expected["w_micro"][digits_at] = block.micro
            expected["w_exponent"][digits_at] = block.exponent if word["last"] else 0
    out = Clocked(ColumnFeeder(params)).run(rows, OUTPUTS, tail=4)
    for name, by_cycle in expected.items():
        for cycle, value in by_cycle.items():
            assert out[name][cycle] == value, f"{name} in cycle {cycle}, seed {seed}"
