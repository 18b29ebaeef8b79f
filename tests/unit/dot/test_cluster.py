"""Clusters of engines, driven as the array drives them, against exact arithmetic: every operand at its own time."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from golden.formats import EXPONENT_BITS, MX4, MX6, MX9, PAIRS, Format
from mixdit_hw.dot.cluster import A_OPERANDS, FLAGS, W_OPERANDS, Cluster, cluster_of, engine_of
from mixdit_hw.dot.engine import Engine
from mixdit_hw.dot.operand import OPERAND_BITS
from mixdit_hw.dot.timing import TIMINGS
from mixdit_hw.params import Params
from mixdit_hw.shapes import FP32_BITS
from tests.support.blocks import Block, accumulate, join, random_block
from tests.support.clocked import Clocked
from tests.support.errors import raises_exactly

CHAINS = "c_next"
Stimulus = dict[int, dict[str, int]]


@dataclass(frozen=True)
class KBlock:
    """A's blocks by [cluster row][turn], W's by [cluster column]."""

    a: list[list[Block]]
    w: list[Block]

    @property
    def passes(self) -> list[tuple[bool, bool]]:
        """(A low, W low) of each pass, least significant first."""
        both = [True, False]
        return [(la, lw) for lw in both[2 - self.w[0].fmt.digits :] for la in both[2 - self.a[0][0].fmt.digits :]]


@dataclass
class Drive:
    """Inputs of a cluster by cycle, for tiles in a row with random bubbles.

    W is noise in every cycle in which it must not be sampled: the cluster holds it, and takes microexponents and
    exponents later than the digits.

    Attributes
    ----------
    held
        W's digits, microexponents and exponents that the cluster holds, by the cycle from which on it does.
    results
        First cycle of each tile's results.
    """

    dut: Cluster
    interleave: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.inputs: Stimulus = defaultdict(dict)
        self.held: dict[str, dict[int, int]] = {name: {} for name in W_OPERANDS}
        self.results: list[int] = []
        self.now = 0

    def put(self, cycle: int, **values: int) -> None:
        self.inputs[cycle].update(values)

    def step(self, w: dict[str, int]) -> None:
        """W at a step: each part stands when it is sampled, and noise in the step's other cycles."""
        timing = self.dut.timing
        delays = {"w": 0, "w_micro": timing.w_micro, "w_exponent": timing.exponent}
        self.put(self.now, step=1)
        for name, delay in delays.items():
            width = getattr(self.dut, name).shape().width
            for t in range(self.interleave):
                noise = int.from_bytes(self.rng.bytes(width // 8), "little")
                self.put(self.now + delay + t, **{name: noise if t else w[name]})
            self.held[name][self.now + delay + 1] = w[name]

    def bubble(self) -> None:
        self.step(dict.fromkeys(W_OPERANDS, 0))
        self.now += self.interleave

    def tile(self, blocks: list[KBlock]) -> None:
        timing, turns = self.dut.timing, self.interleave
        for k, block in enumerate(blocks):
            for p, (a_low, w_low) in enumerate(block.passes):
                while self.rng.random() < 0.2:
                    self.bubble()
                last = p == len(block.passes) - 1
                self.step(
                    {
                        "w": join((b.operand(w_low) for b in block.w), OPERAND_BITS),
                        "w_micro": join((b.micro for b in block.w), PAIRS),
                        "w_exponent": join((b.exponent for b in block.w), EXPONENT_BITS) if last else 0,
                    }
                )
                for t in range(turns):
                    here = self.now + t
                    column = [row[t] for row in block.a]
                    self.put(here, a=join((b.operand(a_low) for b in column), OPERAND_BITS))
                    self.put(here + timing.micro, a_micro=join((b.micro for b in column), PAIRS))
                    if last:
                        self.put(here + timing.exponent, a_exponent=join((b.exponent for b in column), EXPONENT_BITS))
                    self.put(here + timing.block, first=int(p == 0), shift=p % 2)
                    self.put(here + timing.start, start=int(p == 0 and k == 0))
                    self.put(here + timing.end, end=int(last and k == len(blocks) - 1))
                self.now += turns
        self.results.append(self.now - turns + self.dut.latency)


def random_k_block(rng: np.random.Generator, rows: int, columns: int, turns: int, fa: Format, fw: Format) -> KBlock:
    spread = int(rng.choice([1, 6, 20]))
    return KBlock(
        [[random_block(rng, fa, spread=spread) for _ in range(turns)] for _ in range(rows)],
        [random_block(rng, fw, spread=spread) for _ in range(columns)],
    )


@pytest.mark.parametrize(
    ("rows", "columns", "interleave", "formats", "loop", "multipliers"),
    [
        (1, 1, 4, (MX9, MX6, MX4), 4, "logic"),
        (2, 2, 4, (MX9, MX6, MX4), 4, "logic"),
        (1, 4, 5, (MX9, MX6, MX4), 4, "logic"),
        (4, 1, 4, (MX6, MX4), 4, "logic"),
        (3, 2, 7, (MX9,), 4, "logic"),
        (4, 4, 4, (MX4,), 4, "logic"),
        (2, 1, 8, (MX9, MX6, MX4), 8, "logic"),
        (1, 2, 4, (MX9, MX6, MX4), 4, "pairs"),
        (3, 4, 8, (MX9, MX6), 8, "pairs"),
        (2, 2, 5, (MX9, MX6, MX4), 4, "quads"),
        (4, 2, 8, (MX9, MX6), 8, "quads"),
    ],
    ids=lambda x: "-".join(f.name for f in x) if isinstance(x, tuple) else str(x),
)
def test_random_tiles(rows, columns, interleave, formats, loop, multipliers):
    """Every engine exact on its own chain, the chains pass on what comes from below, and W stays for a step."""
    seed = 100 * rows + 10 * columns + interleave
    rng = np.random.default_rng(seed)
    digits = max(f.digits for f in formats)
    dut = Cluster(interleave, digits, rows, columns, loop, multipliers=multipliers)
    drive = Drive(dut, interleave, rng)
    tiles = []
    for _ in range(6):
        pairs = rng.integers(len(formats), size=(rng.integers(1, 6), 2))
        tiles.append([random_k_block(rng, rows, columns, interleave, formats[i], formats[j]) for i, j in pairs])
        drive.tile(tiles[-1])
    for _ in range(dut.latency // interleave + 1):
        drive.bubble()
    below = [int.from_bytes(rng.bytes(rows * columns * FP32_BITS // 8), "little") for _ in range(drive.now)]
    stimulus = [drive.inputs[cycle] | {"c": below[cycle]} for cycle in range(drive.now)]
    outputs = [CHAINS, *(f"{name}_next" for name in (*A_OPERANDS, *W_OPERANDS, *FLAGS))]
    out = Clocked(dut).run(stimulus, outputs)

    expected = [0, *below[:-1]]
    for start, tile in zip(drive.results, tiles, strict=True):
        for t in range(interleave):
            words = (
                accumulate([(block.a[v][t], block.w[h]) for block in tile]) for v in range(rows) for h in range(columns)
            )
            expected[start + t] = join(words, FP32_BITS)
    for cycle in range(1, len(expected)):
        assert out[CHAINS][cycle] == expected[cycle], f"cycle {cycle}, seed {seed}"
    for name in (*A_OPERANDS, *FLAGS):
        assert out[f"{name}_next"][1:] == [row.get(name, 0) for row in stimulus[:-1]], f"{name}, seed {seed}"
    for name, changes in drive.held.items():
        held = None
        for cycle, value in enumerate(out[f"{name}_next"]):
            held = changes.get(cycle, held)
            assert held is None or value == held, f"{name} in cycle {cycle}, seed {seed}"


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3)])
def test_latency(rows, columns):
    """Results stand in the chain for the T cycles from ``latency`` after the last pass's digits on, and no longer."""
    dut = Cluster(4, 2, rows, columns)
    drive = Drive(dut, 4, np.random.default_rng(0))
    drive.tile([random_k_block(np.random.default_rng(1), rows, columns, 4, MX6, MX6)])
    first = drive.results[0]
    out = Clocked(dut).run([drive.inputs[cycle] for cycle in range(first + 8)], [CHAINS])[CHAINS]
    assert [cycle for cycle, words in enumerate(out) if words] == [first + t for t in range(4)]
    assert first == drive.now - 4 + dut.latency


@pytest.mark.parametrize(("rows", "columns", "text"), [(0, 1, "rows"), (2, -1, "columns")])
def test_arguments(rows, columns, text):
    value = min(rows, columns)
    with raises_exactly(ValueError, f"{text} must be at least 1, not {value}"):
        Cluster(4, 2, rows, columns)


def test_loop_latency():
    with raises_exactly(ValueError, f"loop_latency must be one of {', '.join(map(str, TIMINGS))}, not 5"):
        Cluster(5, 2, 1, 1, 5)


@pytest.mark.parametrize(
    ("rows", "columns", "multipliers", "text"),
    [
        (2, 3, "pairs", "multipliers=pairs needs an even number of columns, not 3"),
        (2, 1, "quads", "multipliers=quads needs an even number of columns, not 1"),
        (1, 2, "quads", "multipliers=quads needs an even number of rows, not 1"),
        (2, 2, "dsp", "multipliers must be one of logic, pairs, quads, not 'dsp'"),
    ],
)
def test_multipliers(rows, columns, multipliers, text):
    with raises_exactly(ValueError, text):
        Cluster(4, 2, rows, columns, multipliers=multipliers)


def test_key():
    """Each argument makes another module."""
    keys = {Cluster(*args).unit_key for args in ((8, 2, 2, 2), (9, 2, 2, 2), (8, 1, 2, 2), (8, 2, 1, 2), (8, 2, 2, 1))}
    keys.add(Cluster(8, 2, 2, 2, 8).unit_key)
    keys.add(Cluster(8, 2, 2, 2, tree="chains").unit_key)
    keys |= {Cluster(8, 2, 2, 2, multipliers=name).unit_key for name in ("pairs", "quads")}
    assert len(keys) == 9


def test_of_a_design():
    """Every parameter of a cluster is the design's."""
    for multipliers in ("logic", "quads"):
        params = Params(
            rows=4,
            columns=6,
            share_rows=4,
            interleave=9,
            loop_latency=8,
            tree="chains",
            multipliers=multipliers,
            formats=("mx6",),
        )
        assert cluster_of(params).unit_key == Cluster(9, 1, 4, 2, 8, "chains", multipliers).unit_key
        assert engine_of(params).unit_key == Engine(9, 1, 8, "chains", multiply=multipliers == "logic").unit_key
