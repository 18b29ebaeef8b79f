"""A feeder of one column of clusters against a model of its memory."""

import numpy as np
import pytest

from golden.formats import EXPONENT_BITS, PAIRS
from mixdit_hw.array.column import ColumnFeeder
from mixdit_hw.array.control import ColumnControlLayout, pointer_bits
from mixdit_hw.dot.operand import OPERAND_BITS
from mixdit_hw.dot.timing import TIMINGS
from mixdit_hw.params import LOOP_LATENCIES, Params
from tests.support.blocks import Block, join, random_block
from tests.support.clocked import Clocked
from tests.support.streams import to_bits
from tests.support.tiles import blocks_bits

OUTPUTS = ("control_next", "w", "w_micro", "w_exponent")


@pytest.mark.parametrize(
    "params",
    [
        Params(w_depth=4),
        Params(w_depth=16, interleave=7, share_columns=1),
        Params(w_depth=8, formats=("mx6", "mx4"), share_columns=4),
        Params(w_depth=4, formats=("mx4",), columns=3),
    ],
    ids=["mx9", "mx9-T7-share1", "mx6-share4", "mx4-3-columns"],
)
def test_against_memory(params):
    """Each step reads one entry for T cycles, while others are rewritten; delays are exact."""
    depth, turns = params.w_depth, params.interleave
    control = ColumnControlLayout(pointer_bits(depth))
    seed = depth + params.magnitude_bits
    rng = np.random.default_rng(seed)
    formats = params.format_set

    def write(address: int, blocks: list[Block]) -> dict[str, int]:
        bits = blocks_bits(blocks, params.magnitude_bits)
        return {"write": 1, "write_address": address, "write_blocks": bits}

    def random_blocks() -> list[Block]:
        return [random_block(rng, formats[rng.integers(len(formats))]) for _ in range(params.cluster_columns)]

    memory = [random_blocks() for _ in range(depth)]
    rows = [write(address, blocks) for address, blocks in enumerate(memory)]
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
                memory[address] = random_blocks()
                rows[-1] |= write(address, memory[address])
            reading = entry  # in the next cycle
            blocks, digits_at = memory[entry], now + ColumnFeeder.latency
            expected["control_next"][now + 1] = bits
            expected["w"][digits_at] = join((block.operand(bool(word["low"])) for block in blocks), OPERAND_BITS)
            expected["w_micro"][digits_at] = join((block.micro for block in blocks), PAIRS)
            exponents = join((block.exponent for block in blocks), EXPONENT_BITS)
            expected["w_exponent"][digits_at] = exponents if word["last"] else 0
    out = Clocked(ColumnFeeder(params)).run(rows, OUTPUTS, tail=4)
    for name, by_cycle in expected.items():
        for cycle, value in by_cycle.items():
            assert out[name][cycle] == value, f"{name} in cycle {cycle}, seed {seed}"


@pytest.mark.parametrize("loop_latency", LOOP_LATENCIES)
def test_outputs_stand_until_the_cluster_has_them(loop_latency):
    """The exponents are sampled last, and still within the step of T cycles, whatever T is."""
    assert TIMINGS[loop_latency].exponent < loop_latency
