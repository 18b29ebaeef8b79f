"""Sums of many words, by compressors and by carry chains, and products, against Python's."""

import random
from itertools import product

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal

from mixdit_hw.arith.compress import carry_save, chain_save, multiply, outer_product, reduce_columns
from tests.support.clocked import Clocked, Function
from tests.support.errors import raises_exactly

TREES = pytest.mark.parametrize("tree", [carry_save, chain_save], ids=["compressors", "chains"])


def sums(tree, width: int, widths: list[int], carries: int, rows: list[dict[str, int]]) -> list[int]:
    """Save word plus carry word of each row of operands x0, x1 ... and carry-ins c0, c1 ..."""

    def build(m: Module, **inputs: Signal) -> dict:
        operands = [inputs[f"x{k}"] for k in range(len(widths))]
        save, carry = tree(m, operands, width, [inputs[f"c{k}"] for k in range(carries)])
        assert len(save) == len(carry) == width
        return {"total": (save + carry)[:width]}

    shapes = {f"x{k}": w for k, w in enumerate(widths)} | {f"c{k}": 1 for k in range(carries)}
    return Clocked(Function(shapes, build)).run(rows, ["total"])["total"]


@TREES
@pytest.mark.parametrize("operands", range(2, 15))
def test_random(operands, tree):
    """As many carry-ins as there is room for; operands narrower than, as wide as and wider than the sum."""
    rng = random.Random(operands)
    width, carries = 9, operands - 2
    widths = [rng.choice([1, 5, 9, 9, 12]) for _ in range(operands)]
    rows = []
    for _ in range(100):
        extreme = rng.choice([None, None, 0, -1])
        row = {
            f"x{k}": (rng.randrange(1 << w) if extreme is None else extreme % (1 << w)) for k, w in enumerate(widths)
        }
        rows.append(row | {f"c{k}": rng.randrange(2) for k in range(carries)})
    assert sums(tree, width, widths, carries, rows) == [sum(row.values()) % (1 << width) for row in rows]


@TREES
def test_all_values(tree):
    """Four words of two bits with both carry-ins."""
    names = ("x0", "x1", "x2", "x3")
    rows = [
        {name: n >> 2 * k & 3 for k, name in enumerate(names)} | {"c0": n >> 8 & 1, "c1": n >> 9}
        for n in range(1 << 10)
    ]
    assert sums(tree, 4, [2] * 4, 2, rows) == [sum(row.values()) % 16 for row in rows]


@pytest.mark.parametrize(("a_bits", "b_bits"), [(4, 4), (1, 1), (3, 5), (6, 2)])
def test_products(a_bits, b_bits):
    """All pairs of words, plain and inverted."""

    def build(m: Module, a: Signal, b: Signal, invert: Signal) -> dict:
        return {"product": multiply(m, a, b, invert)}

    rows = [
        {"a": a, "b": b, "invert": invert}
        for a in range(1 << a_bits)
        for b in range(1 << b_bits)
        for invert in range(2)
    ]
    bench = Clocked(Function({"a": a_bits, "b": b_bits, "invert": 1}, build))
    mask = (1 << a_bits + b_bits) - 1
    assert bench.run(rows, ["product"])["product"] == [row["a"] * row["b"] ^ mask * row["invert"] for row in rows]


@pytest.mark.parametrize("height", [2, 3, 5, 6])
@pytest.mark.parametrize("seed", [1, 2])
def test_reduced_columns(height, seed):
    """Ragged columns keep their sum, and none has more bits than it may."""
    rng = np.random.default_rng(seed)
    heights = rng.integers(0, 12, 9).tolist()

    def build(m: Module, bits: Signal) -> dict:
        places = iter(bits)
        columns = reduce_columns(m, [[next(places) for _ in range(n)] for n in heights], height)
        assert max(map(len, columns)) <= height
        total = Signal(len(heights))
        m.d.comb += total.eq(sum((bit << k for k, column in enumerate(columns) for bit in column), Const(0)))
        return {"total": total}

    words = [int.from_bytes(rng.bytes(16), "little") % (1 << sum(heights)) for _ in range(200)]
    words += [0, (1 << sum(heights)) - 1]
    weights = [k for k, n in enumerate(heights) for _ in range(n)]
    expected = [sum((word >> i & 1) << k for i, k in enumerate(weights)) % (1 << len(heights)) for word in words]
    bench = Clocked(Function({"bits": sum(heights)}, build))
    assert bench.run([{"bits": word} for word in words], ["total"])["total"] == expected


def test_columns_of_one_bit():
    with raises_exactly(ValueError, "height must be at least 2, not 1"):
        reduce_columns(Module(), [], 1)


def outer_products(bits: tuple[int, int], sizes: tuple[int, int], rows: list[list[int]]) -> list[list[int]]:
    """Of the words of each row, those of A first: all products, A's first by each of W's, then its next ..."""
    names = [f"x{k}" for k in range(sum(sizes))]

    def build(m: Module, **inputs: Signal) -> dict:
        words = [inputs[name] for name in names]
        products = outer_product(m, words[: sizes[0]], words[sizes[0] :])
        return {f"p{i}_{j}": products[i][j] for i in range(sizes[0]) for j in range(sizes[1])}

    widths = [bits[0]] * sizes[0] + [bits[1]] * sizes[1]
    outputs = [f"p{i}_{j}" for i in range(sizes[0]) for j in range(sizes[1])]
    bench = Clocked(Function(dict(zip(names, widths, strict=True)), build))
    out = bench.run([dict(zip(names, row, strict=True)) for row in rows], outputs)
    return [list(row) for row in zip(*(out[name] for name in outputs), strict=True)]


@pytest.mark.parametrize(
    ("bits", "sizes"), [((4, 4), (1, 2)), ((2, 2), (2, 2)), ((3, 1), (2, 3)), ((2, 3), (1, 1))], ids=str
)
def test_outer_product(bits, sizes):
    """All words."""
    words = product(*[range(1 << bits[0])] * sizes[0], *[range(1 << bits[1])] * sizes[1])
    rows = [list(row) for row in words]
    expected = [[a * w for a in row[: sizes[0]] for w in row[sizes[0] :]] for row in rows]
    assert outer_products(bits, sizes, rows) == expected


def test_outer_product_of_digits():
    """Two by two digits of 4 bits: largest, smallest and random ones."""
    rng = np.random.default_rng(3)
    rows = [list(row) for row in product((0, 1, 8, 15), repeat=4)] + rng.integers(16, size=(2000, 4)).tolist()
    expected = [[a * w for a in row[:2] for w in row[2:]] for row in rows]
    assert outer_products((4, 4), (2, 2), rows) == expected


def test_outer_product_of_different_widths():
    with raises_exactly(ValueError, "the words of a side must have the same width"):
        outer_product(Module(), [Signal(4)], [Signal(4), Signal(3)])


@TREES
def test_arguments(tree):
    m = Module()
    words = [Signal(4) for _ in range(3)]
    bits = [Signal() for _ in range(2)]
    with pytest.raises(ValueError, match=r"^operands must be at least two, not 1$"):
        tree(m, words[:1], 4)
    with pytest.raises(ValueError, match=r"^carry_ins must be at most 1, not 2$"):
        tree(m, words, 4, bits)
