"""The compactor against a list."""

import random

import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from mixdit_hw.codec.compact import Compactor
from tests.support.clocked import Clocked


def _bits(words: list[int]) -> int:
    return sum(word << 32 * k for k, word in enumerate(words))


def test_latency():
    """A full block leaves as many cycles after the marks as the unit says: in the same one."""
    rows = [{}, {"mask": 0xFFFF, "words": _bits(list(range(1, 17))), "enable": 1}, {}]
    out = Clocked(Compactor()).run(rows, ["full", "block"])
    assert out["full"].index(1) - 1 == Compactor.latency
    assert out["block"][out["full"].index(1)] == _bits(list(range(1, 17)))


@pytest.mark.parametrize("seed", [41, 42])
def test_random_masks(seed):
    rng = random.Random(seed)
    dut = Compactor()

    async def testbench(ctx):
        held: list[int] = []
        for _ in range(400):
            assert ctx.get(dut.count) == len(held)
            assert ctx.get(Value.cast(dut.rest)) == _bits(held)
            words = [rng.getrandbits(32) for _ in range(16)]
            mask = rng.choice([0, 0xFFFF, rng.getrandbits(16), rng.getrandbits(16) & rng.getrandbits(16)])
            act = rng.choice(["enable", "enable", "enable", "wait", "clear"])
            ctx.set(Value.cast(dut.words), _bits(words))
            ctx.set(dut.mask, mask)
            ctx.set(dut.enable, act == "enable")
            ctx.set(dut.clear, act == "clear")
            after = held + [word for k, word in enumerate(words) if mask >> k & 1]
            assert ctx.get(dut.full) == (len(after) >= 16)
            assert ctx.get(dut.count_next) == len(after) % 16
            if len(after) >= 16:
                assert ctx.get(Value.cast(dut.block)) == _bits(after[:16])
            await ctx.tick()
            if act == "enable":
                held = after[16:] if len(after) >= 16 else after
            elif act == "clear":
                held = []

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
