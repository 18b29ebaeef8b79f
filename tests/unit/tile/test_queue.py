"""Operand pointers against a model, and with real feeders of long arrays behind them."""

import random

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module, Signal, Value

from golden.formats import FORMATS, MX9
from mixdit_hw.array.column import ColumnFeeder
from mixdit_hw.array.control import ColumnControlLayout, RowControlLayout, pointer_bits
from mixdit_hw.array.row import RowFeeder
from mixdit_hw.dot.operand import OPERAND_BITS
from mixdit_hw.params import Params
from mixdit_hw.shapes import BlockLayout
from mixdit_hw.tile.queue import OperandQueue
from tests.support.blocks import Block, join, random_block
from tests.support.clocked import Clocked

OUTPUTS = ("ready", "write", "write_address", "head", "available", "two_digits")


@pytest.mark.parametrize(("depth", "entries", "digits"), [(4, 1, 2), (16, 4, 2), (32, 5, 2), (16, 4, 1)])
def test_against_model(depth, entries, digits):
    """Random offers, takes and releases, often full and often empty, many times round the memory and the pointers."""
    rng = random.Random(depth + entries)
    bench = Clocked(OperandQueue(depth, entries, digits))
    wrap = 2 * depth
    seen = {"full": 0, "empty": 0}

    def rows():
        tail = head = oldest = 0  # without end
        formats: list[int] = []
        bias = 0.5
        for cycle in range(1500):
            if cycle % 100 == 0:
                bias = rng.choice([0.1, 0.5, 0.9])
            valid, fmt = int(rng.random() < bias), rng.choice([0, 1, 2] if digits == 2 else [0, 1])
            waiting, used = tail - head, tail - oldest
            take = int(waiting >= entries and rng.random() < 0.5 * (1 - bias))
            yield {"valid": valid, "format": fmt, "oldest": oldest % wrap, "take": take}
            out = {name: values[-1] for name, values in bench.outputs.items()}
            write = int(valid and used < depth)
            assert (out["ready"], out["write"]) == (int(used < depth), write), f"cycle {cycle}"
            assert (out["head"], out["available"]) == (head % wrap, int(waiting >= entries)), f"cycle {cycle}"
            if write:
                assert out["write_address"] == tail % depth
            if waiting:
                assert out["two_digits"] == int(digits == 2 and formats[head] == MX9.code)
            seen["full"] += used == depth
            seen["empty"] += used == 0
            tail += write
            formats += [fmt] * write
            head += entries * take
            # The feeders come behind: block by block, never past the head.
            while oldest < head and rng.random() < 0.4:
                oldest += entries
        assert tail > 4 * wrap

    bench.run(rows(), OUTPUTS)
    assert min(seen.values()) > 50


def test_latency():
    """An entry counts as available in the cycle after its acceptance; the last of a full memory is at once free."""
    rows = [{"valid": 1, "format": 2}] * 5 + [{"valid": 1, "oldest": 1, "take": 1}, {"oldest": 1}]
    out = Clocked(OperandQueue(4, 1, 2)).run(rows, OUTPUTS)
    assert out["available"].index(1) - out["write"].index(1) == OperandQueue.latency
    assert out["available"] == [0, 1, 1, 1, 1, 1, 1]
    assert out["ready"] == [1, 1, 1, 1, 0, 1, 0]
    assert out["head"] == [0, 0, 0, 0, 0, 0, 1]


class Side(Elaboratable):
    """A queue and the feeders of one side of an array, whose bubbles and passes a test decides."""

    def __init__(self, params: Params, rows: bool) -> None:
        self.params, self.is_rows = params, rows
        depth, entries = (params.a_depth, params.interleave) if rows else (params.w_depth, 1)
        self.queue = OperandQueue(depth, entries, params.digits)
        self.valid, self.format, self.ready = self.queue.valid, self.queue.format, self.queue.ready
        self.available, self.take = self.queue.available, self.queue.take
        self.shared = params.cluster_rows if rows else params.cluster_columns
        count = (params.rows if rows else params.columns) // self.shared
        self.feeders = [RowFeeder(params) if rows else ColumnFeeder(params) for _ in range(count)]
        self.block = Signal(BlockLayout(params.magnitude_bits))  # the same for all feeders
        self.phase = Signal(params.interleave, init=1)
        self.pass_ = Signal()  # in the last cycle of a step: the next one is a pass of the block at the head
        self.digits = [Signal(self.shared * OPERAND_BITS, name=f"digits{n}") for n in range(len(self.feeders))]
        for n, signal in enumerate(self.digits):
            setattr(self, f"digits{n}", signal)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = self.queue
        m.d.sync += self.phase.eq(self.phase.rotate_left(1))
        depth = self.params.a_depth if self.is_rows else self.params.w_depth
        layout = RowControlLayout if self.is_rows else ColumnControlLayout
        control = Signal(layout(pointer_bits(depth)))
        with m.If(self.phase[-1]):
            m.d.sync += [control.address.eq(queue.head), control.last.eq(self.pass_)]
            if self.is_rows:
                m.d.sync += control.valid.eq(self.pass_)
        held: Value = Value.cast(control)
        for n, feeder in enumerate(self.feeders):
            m.submodules[f"feeder{n}"] = feeder
            m.d.comb += [
                feeder.write.eq(queue.write),
                feeder.write_address.eq(queue.write_address),
                Value.cast(feeder.write_blocks).eq(Value.cast(self.block).replicate(self.shared)),
                Value.cast(feeder.control).eq(held),
                self.digits[n].eq(feeder.a if isinstance(feeder, RowFeeder) else feeder.w),
            ]
            if isinstance(feeder, RowFeeder):
                m.d.comb += feeder.step.eq(self.phase[-n % self.params.interleave])
            held = Value.cast(feeder.control_next)
        m.d.comb += queue.oldest.eq(self.feeders[-1].control_next.address)
        return m


@pytest.mark.parametrize(
    ("params", "rows"),
    [
        (Params(rows=16, columns=1, share_rows=1, a_depth=16), True),
        (Params(rows=9, columns=1, interleave=5, a_depth=32), True),
        (Params(rows=24, columns=1, a_depth=16, c_depth=128), True),
        (Params(rows=1, columns=40, share_columns=1, w_depth=4), False),
        (Params(rows=1, columns=9, w_depth=4), False),
        (Params(rows=1, columns=36, w_depth=4, share_columns=4), False),
    ],
    ids=["16-rows", "9-rows-T5", "24-rows-shared", "40-columns", "9-columns", "36-columns-shared"],
)
@pytest.mark.parametrize("eager", [True, False])
def test_nothing_is_overwritten(params, rows, eager):
    """The least memory, less than the skew of a long array, costs bubbles only: every feeder reads every block."""
    seed = params.rows + params.columns
    rng = np.random.default_rng(seed)
    side = Side(params, rows)
    bench = Clocked(side)
    turns = params.interleave
    entries = turns if rows else 1
    count = 24 * entries
    blocks: list[Block] = [random_block(rng, FORMATS["mx6"]) for _ in range(count)]
    passes: list[int] = []  # cycle of phase 0 of each

    def stimulus():
        sent = cycle = 0
        row: dict[str, int] = {}
        while len(passes) * entries < count:
            # Whether the head's block is complete is known from the cycle before, in which nothing was taken.
            decide = cycle % turns == turns - 1
            go = decide and bench.outputs["available"][-1] and (eager or rng.random() < 0.5)
            offer = sent < count and (eager or rng.random() < 0.7 or "valid" in row)
            row = {"pass_": int(go), "take": int(go)}
            if offer:
                row |= {"valid": 1, "format": 1, "block": blocks[sent].container(params.magnitude_bits)}
            yield row
            if go:
                passes.append(cycle + 1)
            if offer and bench.outputs["ready"][-1]:
                sent += 1
                row = {}
            cycle += 1
            assert cycle < 400 * 24, "no block comes through any more"

    names = ["ready", "available", *(f"digits{n}" for n in range(len(side.feeders)))]
    out = bench.run(stimulus(), names, tail=2 * (params.rows * turns + params.columns))
    for n in range(len(side.feeders)):
        skew = 2 + (n * (turns - 1) if rows else n)
        for k, start in enumerate(passes):
            for t in range(turns):
                block = blocks[k * entries + (t if rows else 0)]
                got = out[f"digits{n}"][start + skew + t]
                expected = join([block.operand(False)] * side.shared, OPERAND_BITS)
                assert got == expected, f"feeder {n}, block {k}, entry {t}"


@pytest.mark.parametrize(
    ("shape", "rows", "depth", "enough"),
    [
        # A needs (R/V - 1)*(T - 1) + 2*T + 2 entries, W ceil((C/H + 2)/T) + 1.
        ({"rows": 1}, True, 16, True),  # 10
        ({"rows": 3}, True, 16, True),  # 16
        ({"rows": 4}, True, 16, False),  # 19
        ({"rows": 8}, True, 32, True),  # 31
        ({"rows": 16, "share_rows": 2}, True, 32, True),  # 31
        ({"rows": 9}, True, 32, False),  # 34
        ({"rows": 6, "interleave": 5}, True, 32, True),  # 32
        ({"rows": 7, "interleave": 5}, True, 32, False),  # 36
        ({"rows": 24, "interleave": 6}, True, 128, False),  # 129
        ({"columns": 10}, False, 4, True),  # 4
        ({"columns": 20, "share_columns": 2}, False, 4, True),  # 4
        ({"columns": 11}, False, 4, False),  # 5
        ({"columns": 26}, False, 8, True),  # 8
        ({"columns": 27}, False, 8, False),  # 9
        ({"columns": 33, "interleave": 5}, False, 8, True),  # 8
        ({"columns": 34, "interleave": 5}, False, 8, False),  # 9
    ],
)
def test_full_rate(shape, rows, depth, enough):
    """With a beat in every cycle and a pass in every step, the depths that `Params` names, and no less, keep pace."""
    least = {"rows": 1, "columns": 1, "share_rows": 1, "share_columns": 1, "a_depth": 128, "c_depth": 256}
    name = "a_depth" if rows else "w_depth"
    params = Params(**{**least, **shape, name: depth})
    full = params.full_rate_a_depth if rows else params.full_rate_w_depth
    assert (depth >= full) == enough
    side = Side(params, rows)
    bench = Clocked(side)
    turns = params.interleave

    def stimulus():
        for cycle in range(80 * turns):
            go = cycle % turns == turns - 1 and bench.outputs["available"][-1]
            yield {"pass_": int(go), "take": int(go), "valid": 1, "format": 1}

    out = bench.run(stimulus(), ["available"])
    decisions = out["available"][turns - 1 :: turns]
    assert all(decisions[decisions.index(1) :]) == enough
