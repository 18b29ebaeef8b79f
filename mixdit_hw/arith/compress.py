"""Sums of many words as two, by compressors or by carry chains, and multiplications."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value


def carry_save(
    m: Module, operands: Sequence[Value], width: int, carry_ins: Sequence[Value] = ()
) -> tuple[Value, Value]:
    """Reduce unsigned words to two whose sum equals theirs modulo 2^``width``. Combinational.

    Words shorter than ``width`` are extended with zeros; bits and carries from 2^``width`` on are dropped.
    ``carry_ins`` are single bits of weight 1 that are added too: each takes a place that has no carry from the right,
    so that it costs nothing. The words that stand last pass the fewest adders, so a late one goes there.

    Raises
    ------
    ValueError
        Fewer than two operands, or more carry-ins than operands - 2.
    """
    _check(operands, carry_ins)
    columns: list[list[Value]] = [[x[k] for x in operands if k < len(x)] for k in range(width)]
    _reduce(m, columns, list(carry_ins))
    rows = [Cat(*(column[i] if i < len(column) else Const(0, 1) for column in columns)) for i in range(2)]
    return rows[0], rows[1]


def chain_save(
    m: Module, operands: Sequence[Value], width: int, carry_ins: Sequence[Value] = ()
) -> tuple[Value, Value]:
    """As `carry_save`, with carry-propagating additions: less on an FPGA, which has chains for them, but slower.

    All words but the last are added up two by two, a carry-in each; the last word stays as it is.

    Raises
    ------
    ValueError
        Fewer than two operands, or more carry-ins than operands - 2.
    """
    _check(operands, carry_ins)
    bits = list(carry_ins)
    words = list(operands[:-1])
    while len(words) > 1:
        pairs = []
        for a, b in zip(words[::2], words[1::2], strict=False):
            carry = bits.pop() if bits else Const(0, 1)
            total = Signal(min(width, max(len(a), len(b)) + 1), name="chain")
            m.d.comb += total.eq((Cat(carry, a) + Cat(carry, b))[1:])
            pairs.append(total)
        words = pairs + words[len(words) // 2 * 2 :]
    first, last = (Cat(x, Const(0, max(0, width - len(x))))[:width] for x in (words[0], operands[-1]))
    return first, last


def multiply(m: Module, a: Value, b: Value, invert: Value) -> Value:
    """Return the product of two unsigned words, all its bits inverted where ``invert`` is set. Combinational.

    Partial products in columns, reduced to two words (Dadda), which are added.
    """
    columns = partial_products(m, a, b)
    _reduce(m, columns, [])
    product: list[Value] = []
    carry: list[Value] = []
    for column in columns:
        bits = column + carry
        carry = []
        if len(bits) == 3:
            total, carry_out = _full_adder(m, bits[0], bits[1], bits[2])
            carry = [carry_out]
        elif len(bits) == 2:
            total, carry_out = _half_adder(m, bits[0], bits[1])
            carry = [carry_out]
        else:
            total = bits[0] if bits else Const(0, 1)
        product.append(total ^ invert)
    return Cat(*product)


def partial_products(m: Module, a: Value, b: Value) -> list[list[Value]]:
    """Return the bits whose sum is the product of two unsigned words: those of weight 2^k in column k."""
    columns: list[list[Value]] = [[] for _ in range(len(a) + len(b))]
    for i in range(len(a)):
        for j in range(len(b)):
            columns[i + j].append(_signal(m, a[i] & b[j]))
    return columns


def reduce_columns(m: Module, columns: Sequence[Sequence[Value]], height: int = 2) -> list[list[Value]]:
    """Return columns of at most ``height`` bits with the same sum, modulo 2^(number of columns). Combinational.

    Raises
    ------
    ValueError
        ``height`` is below 2.
    """
    if height < 2:
        raise ValueError(f"height must be at least 2, not {height}")
    reduced = [list(column) for column in columns]
    _reduce(m, reduced, [], height)
    return reduced


def outer_product(m: Module, a: Sequence[Value], w: Sequence[Value]) -> list[list[Value]]:
    """Return the products of each of ``a`` by each of ``w``, unsigned, by one multiplication. Combinational.

    All words of a side have the same width. Those of ``w`` stand as far from each other as a product is wide, those of
    ``a`` as all products by ``w`` are: so no product reaches the next one.
    """
    bits, gap = len(a[0]) + len(w[0]), len(w)
    if any(len(x) != len(side[0]) for side in (a, w) for x in side):
        raise ValueError("the words of a side must have the same width")
    operands = []
    for side, space in ((a, bits * gap), (w, bits)):
        spread = Cat(*(Cat(x, Const(0, space - len(x))) for x in side[:-1]), side[-1])
        operand = Signal(len(spread), name="operand")
        m.d.comb += operand.eq(spread)
        operands.append(operand)
    product = Signal(bits * len(a) * gap, name="product")
    m.d.comb += product.eq(operands[0] * operands[1])
    return [[product.word_select(i * gap + j, bits) for j in range(gap)] for i in range(len(a))]


def _check(operands: Sequence[Value], carry_ins: Sequence[Value]) -> None:
    if len(operands) < 2:
        raise ValueError(f"operands must be at least two, not {len(operands)}")
    if len(carry_ins) > len(operands) - 2:
        raise ValueError(f"carry_ins must be at most {len(operands) - 2}, not {len(carry_ins)}")


def _reduce(m: Module, columns: list[list[Value]], extra: list[Value], least: int = 2) -> None:
    """Reduce each column to ``least`` bits at most, level by level: from 2 on the heights are Dadda's 2, 3, 4, 6, 9 ...

    ``extra`` bits join the first column as soon as a level has room for them.
    """
    heights = [least]
    while heights[-1] * 3 // 2 < max(map(len, columns)):
        heights.append(heights[-1] * 3 // 2)
    for height in reversed(heights):
        carries: list[Value] = []
        for k, column in enumerate(columns):
            done, carries = carries, []
            waiting = list(column)
            # The first column makes room for the extra bits.
            while len(waiting) + len(done) > height or (k == 0 and extra and len(waiting) > 2):
                if len(waiting) >= 3 and (len(waiting) + len(done) > height + 1 or (k == 0 and extra)):
                    total, carry = _full_adder(m, *waiting[:3])
                    del waiting[:3]
                else:
                    total, carry = _half_adder(m, *waiting[:2])
                    del waiting[:2]
                done.append(total)
                carries.append(carry)
            columns[k] = waiting + done
            while k == 0 and extra and len(columns[0]) < height:
                columns[0].append(extra.pop())


def _full_adder(m: Module, a: Value, b: Value, c: Value) -> tuple[Value, Value]:
    half = _signal(m, a ^ b)
    return _signal(m, half ^ c), _signal(m, (a & b) | (half & c))


def _half_adder(m: Module, a: Value, b: Value) -> tuple[Value, Value]:
    return _signal(m, a ^ b), _signal(m, a & b)


def _signal(m: Module, value: Value) -> Signal:
    """A name for a bit that is used more than once, so that its expression is not written out each time."""
    signal = Signal(name="bit")
    m.d.comb += signal.eq(value)
    return signal
