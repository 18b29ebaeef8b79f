"""The sequencer: pass order, causes of waiting, result space, drain spacing, accumulation, commands in a row."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator

from mixdit_hw.params import Params
from mixdit_hw.tile.sequencer import Sequencer
from tests.support.clocked import Clocked

EVENTS = ("pass_", "wait_a", "wait_w", "wait_result", "wait_drain")
OUTPUTS = ("phase", "cmd.ready", "take", "a_control", "w_control", *EVENTS)
SMALL = Params(rows=1, columns=1, share_rows=1, a_depth=16, w_depth=4, c_depth=4)
ACCUMULATE = 1 << 16


@dataclass
class Run:
    """What became of the steps.

    Attributes
    ----------
    events
        Event of each step, "" without a command.
    passes
        Controls (A's, W's) of the steps with a pass.
    bubbles
        Addresses (A's, W's) in the steps without one.
    pass_steps
        Steps of the passes.
    """

    events: list[str] = field(default_factory=list)
    passes: list[tuple] = field(default_factory=list)
    bubbles: list[tuple[int, int]] = field(default_factory=list)
    pass_steps: list[int] = field(default_factory=list)


def always(*_: int) -> bool:
    return True


def run(
    params: Params,
    blocks: list[tuple[int, int]],
    commands: list[int],
    steps: int,
    *,
    a_there: Callable[[int, int], bool] = always,
    w_there: Callable[[int, int], bool] = always,
    freed: Callable[[int], bool] = lambda cycle: False,
    command_there: Callable[[int], bool] = always,
    reset: int | None = None,
) -> Run:
    """Run for some steps, play the queues, and check what holds in any run.

    ``blocks`` says whether A and W have two digits; ``a_there`` and ``w_there`` whether a block is complete in a step,
    ``freed`` whether a beat leaves in a cycle, ``command_there`` whether a command is offered in a cycle. At ``reset``
    blocks and commands begin again.
    """
    dut = Sequencer(params)
    bench = Clocked(dut)
    turns = params.interleave
    a_wrap, w_wrap = 2 * params.a_depth, 2 * params.w_depth

    def rows():
        block = command = 0
        for cycle in range(steps * turns + 1):
            step = cycle // turns
            here = block < len(blocks)
            two_a, two_w = blocks[block] if here else (0, 0)
            offer = command < len(commands) and command_there(cycle)
            yield {
                "cmd.valid": int(offer),
                "cmd.payload": commands[command] if offer else 0,
                "a_head": block * turns % a_wrap,
                "w_head": block % w_wrap,
                "a_available": int(here and a_there(block, step)),
                "w_available": int(here and w_there(block, step)),
                "a_two_digits": two_a,
                "w_two_digits": two_w,
                "freed": int(freed(cycle)),
                "rst": int(cycle == reset),
            }
            block += bench.outputs["take"][-1]
            command += int(offer and bench.outputs["cmd.ready"][-1])
            if cycle == reset:
                block = command = 0

    out = bench.run(rows(), OUTPUTS)
    result = Run()
    start = 0 if reset is None else reset + 1
    for cycle in range(start, len(out["phase"])):
        assert out["phase"][cycle] == 1 << (cycle - start) % turns
        if (cycle - start) % turns != turns - 1:
            assert not any(out[name][cycle] for name in (*EVENTS, "take")), "events come in the last cycle of a step"
            continue
        events = [name for name in EVENTS if out[name][cycle]]
        assert len(events) <= 1
        result.events.append("".join(events))
        if cycle + 1 == len(out["phase"]):
            break
        # The controls stand as much later as the latency says, and stay for the step.
        there = cycle + Sequencer.latency
        controls = [tuple(out[name][there : there + turns]) for name in ("a_control", "w_control")]
        assert all(len(set(held)) == 1 for held in controls)
        a, w = dut.a_control.shape().from_bits(controls[0][0]), dut.w_control.shape().from_bits(controls[1][0])
        if events == ["pass_"]:
            assert (a.valid, out["take"][cycle]) == (1, a.last)
            assert a.last == w.last
            result.passes.append((a, w))
            result.pass_steps.append(len(result.events) - 1)
        else:
            assert not any((a.valid, a.last, a.first, a.shift, a.start, a.end, w.last, out["take"][cycle]))
            result.bubbles.append((a.address, w.address))
    return result


# (A low, W low, shift) of each pass.
ORDERS = {
    (0, 0): [(0, 0, 0)],
    (1, 0): [(1, 0, 0), (0, 0, 1)],
    (0, 1): [(0, 1, 0), (0, 0, 1)],
    (1, 1): [(1, 1, 0), (0, 1, 1), (1, 0, 0), (0, 0, 1)],
}


def test_pass_order():
    """All digit pairs after each other in one tile: every control word as it must be, without a bubble."""
    blocks = [(0, 0), (1, 0), (1, 1), (0, 1), (1, 1), (0, 0), (0, 1), (1, 0)] * 2
    got = run(SMALL, blocks, [len(blocks)], 45)
    expected = [
        (k, n, *order, n == len(ORDERS[pair]) - 1)
        for k, pair in enumerate(blocks)
        for n, order in enumerate(ORDERS[pair])
    ]
    assert got.events == ["pass_"] * len(expected) + [""] * (45 - len(expected))
    for i, ((a, w), (block, n, a_low, w_low, shift, last)) in enumerate(zip(got.passes, expected, strict=True)):
        assert (a.address, w.address) == (block * 4 % 32, block % 8)
        assert (a.low, w.low, a.shift) == (a_low, w_low, shift)
        assert (a.first, a.last) == (n == 0, last)
        assert (a.start, a.end) == (i == 0, i == len(expected) - 1)
    assert set(got.bubbles) == {(len(blocks) * 4 % 32, len(blocks) % 8)}, "a bubble has the next block's address"


def test_waits_for_blocks():
    """A is asked before W, both only at a block's first pass; a bubble has the address of the block it waits for."""
    got = run(
        SMALL,
        [(1, 1), (0, 0), (0, 0)],
        [3],
        14,
        a_there=lambda block, step: step in (2, 3) if block == 0 else step >= 8,
        w_there=lambda block, step: step in (0, 3) if block == 0 else step >= 10,
    )
    waits = ["wait_a"] * 2 + ["wait_w"] + ["pass_"] * 4 + ["wait_a"] + ["wait_w"] * 2 + ["pass_"] * 2
    assert got.events == [*waits, "", ""]
    assert got.bubbles == [(0, 0)] * 3 + [(4, 1)] * 3 + [(12, 3)] * 2


@pytest.mark.parametrize("interleave", [4, 7, 16])
def test_commands_in_a_row(interleave):
    """Commands follow each other without a bubble, whatever their length; without one nothing happens."""
    params = SMALL.replace(interleave=interleave, a_depth=64, c_depth=64)
    there = 20 * interleave
    lengths = [1, 3, 2, 1]
    got = run(params, [(0, 0)] * 7, lengths, 32, command_there=lambda cycle: cycle >= there)
    assert got.events == [""] * 20 + ["pass_"] * 7 + [""] * 5
    ends = [n for n, (a, _) in enumerate(got.passes) if a.end]
    starts = [n for n, (a, _) in enumerate(got.passes) if a.start]
    assert (starts, ends) == ([0, 1, 4, 6], [0, 3, 5, 6])


@pytest.mark.parametrize(
    ("share", "drain", "apart"),
    [(1, 1, 6), (1, 2, 3), (1, 3, 2), (1, 6, 1), (2, 1, 3), (2, 2, 3), (2, 3, 1), (4, 6, 1)],
)
def test_drain_spacing(share, drain, apart):
    """Tiles are finished as many steps apart as a chain has engines, or later if they have more passes."""
    params = SMALL.replace(rows=6, share_rows=share, drain=drain, c_depth=64)
    lengths = [1, 1, 2, 1, 4, 1] if apart > 1 else [1, 1, 2, 1]
    got = run(params, [(0, 0)] * sum(lengths), lengths, 40, freed=lambda cycle: True)
    finished = [step for step, (a, _) in zip(got.pass_steps, got.passes, strict=True) if a.end]
    expected, now = [], -apart
    for length in lengths:
        now = max(now + apart, now + length) if expected else length - 1
        expected.append(now)
    assert finished == expected
    waits = got.events.count("wait_drain")
    assert waits == sum(apart - length for length in lengths[1:] if length < apart)
    assert len(got.bubbles) >= waits


def test_drain_spacing_of_many_passes():
    """Bubbles before other passes count as drained steps; the wait comes with the pass that finishes."""
    params = SMALL.replace(rows=4, drain=1, c_depth=64)
    got = run(params, [(0, 0), (1, 0)], [1, 1], 8, a_there=lambda block, step: block == 0 or step >= 2)
    assert got.events == ["pass_", "wait_a", "pass_", "wait_drain", "pass_", "", "", ""]


def test_result_space():
    """A tile's space is reserved with its last pass and comes back entry by entry; the last one counts at once."""
    params = SMALL.replace(rows=2, drain=2, c_depth=8)  # 4 beats a tile, so room for two
    freed = {17 + 4 * n for n in range(3)} | {31, 40, 41, 42, 43}
    got = run(params, [(0, 0)] * 4, [1] * 4, 15, freed=lambda cycle: cycle in freed)
    # Decisions fall in cycles 3, 7, ...: with the beat freed in cycle 31 there is room from cycle 32 on.
    expected = ["pass_"] * 2 + ["wait_result"] * 6 + ["pass_"] + ["wait_result"] * 2 + ["pass_"]
    assert got.events == expected + [""] * 3


def test_result_space_of_shared_rows():
    """It is counted in entries of the lanes, which hold a word of each chain: here 4 a tile, not 16 beats."""
    params = SMALL.replace(rows=4, share_rows=4, drain=1, c_depth=32)  # 8 entries, so room for two tiles
    freed = {17 + 4 * n for n in range(3)} | {31, 40, 41, 42, 43}
    got = run(params, [(0, 0)] * 4, [1] * 4, 15, freed=lambda cycle: cycle in freed)
    expected = ["pass_"] * 2 + ["wait_result"] * 6 + ["pass_"] + ["wait_result"] * 2 + ["pass_"]
    assert got.events == expected + [""] * 3


def test_space_freed_while_reserving():
    """Beats that leave in the very cycle in which a tile is finished are not lost."""
    params = SMALL.replace(c_depth=4)
    freed = {7, 8, 9, 10, 11, 12, 13, 14}
    got = run(params, [(0, 0)] * 3, [1] * 3, 7, freed=lambda cycle: cycle in freed)
    # Cycle 3 takes all space; 7 to 10 free it, 11 takes it and frees one beat, 12 to 14 the others, 15 takes it.
    assert got.events == ["pass_", "wait_result", "pass_", "pass_", "", "", ""]


def test_causes_have_an_order():
    """Where everything is missing: A, then W, then result space, then the result chains."""
    params = SMALL.replace(rows=8, drain=1, c_depth=64)  # room for two tiles, 8 steps to drain
    got = run(
        params,
        [(0, 0)] * 3,
        [1] * 3,
        18,
        a_there=lambda block, step: block < 2 or step >= 10,
        w_there=lambda block, step: block < 2 or step >= 11,
        freed=lambda cycle: 16 <= cycle < 48,  # step 11 is decided in cycle 47, with 31 beats of 32
    )
    waits = ["wait_a", "wait_w", "wait_result"] + ["wait_drain"] * 4
    assert got.events == ["pass_"] + ["wait_drain"] * 7 + ["pass_", *waits, "pass_", ""]


def test_accumulate():
    """Commands that accumulate end nothing and wait for nothing but blocks; the next one does not start afresh."""
    params = SMALL.replace(rows=4, drain=1, c_depth=16)  # room for one tile, 4 steps to drain
    commands = [2, 1 | ACCUMULATE, 2 | ACCUMULATE, 1, 1]
    got = run(params, [(0, 0)] * 7, commands, 18, freed=lambda cycle: 40 <= cycle < 56)
    assert got.events == ["pass_"] * 5 + ["wait_result"] * 9 + ["pass_"] + ["wait_result"] * 3
    assert [(a.start, a.end) for a, _ in got.passes] == [(1, 0), (0, 1), (1, 0), (0, 0), (0, 0), (0, 1)]


def test_reset():
    """After a reset in any cycle all is as at the beginning: no half block, full space, no drain, a fresh start."""
    params = SMALL.replace(rows=4, drain=1, c_depth=16)
    blocks, commands = [(1, 1), (1, 0), (0, 0)], [1, 1 | ACCUMULATE, 1]
    fresh = run(params, blocks, commands, 12)
    assert "wait_result" in fresh.events
    for reset in range(0, 40, 3):
        again = run(params, blocks, commands, 23, reset=reset)
        assert again.events[:12] == fresh.events
        assert [repr(p) for p in again.passes] == [repr(p) for p in fresh.passes]


def test_no_blocks_means_65536():
    dut = Sequencer(SMALL)

    async def testbench(ctx) -> None:
        ctx.set(dut.cmd.valid, 1)
        ctx.set(dut.a_available, 1)
        ctx.set(dut.w_available, 1)
        await ctx.tick()
        assert not ctx.get(dut.cmd.ready)
        await ctx.tick().repeat(4 * 65536 - 2)
        assert not ctx.get(dut.cmd.ready)
        await ctx.tick()
        assert ctx.get(dut.cmd.ready)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
