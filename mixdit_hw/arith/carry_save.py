"""Carry-save addition."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value


def carry_save(
    m: Module, operands: Sequence[Value], width: int, carry_ins: Sequence[Value] = ()
) -> tuple[Value, Value]:
    """Reduce unsigned words to two whose sum equals theirs modulo 2^``width``. Combinational.

    Levels of 3:2 compressors, in the order given: the words that stand last pass the fewest levels, so a late one goes
    there. Words shorter than ``width`` are extended with zeros; bits and carries from 2^``width`` on are dropped.
    ``carry_ins`` are single bits of weight 1 that are added too: each takes the lowest bit of a compressor's carry
    word, which is vacant, so that they cost nothing.

    Raises
    ------
    ValueError
        Fewer than two operands, or more carry-ins than compressors (operands - 2).
    """
    if len(operands) < 2:
        raise ValueError(f"operands must be at least two, not {len(operands)}")
    if len(carry_ins) > len(operands) - 2:
        raise ValueError(f"carry_ins must be at most {len(operands) - 2}, not {len(carry_ins)}")
    vacancies = list(carry_ins)
    words: list[Value] = [Cat(x, Const(0, max(0, width - len(x))))[:width] for x in operands]
    level = 0
    while len(words) > 2:
        reduced: list[Value] = []
        whole = len(words) // 3 * 3
        for i in range(0, whole, 3):
            a, b, c = words[i : i + 3]
            half, save, carry = (Signal(width, name=f"{name}{level}_{i // 3}") for name in ("half", "save", "carry"))
            m.d.comb += [
                half.eq(a ^ b),
                save.eq(half ^ c),
                carry.eq(Cat(vacancies.pop() if vacancies else Const(0, 1), (a & b) | (half & c))),
            ]
            reduced += [save, carry]
        words = reduced + words[whole:]
        level += 1
    return words[0], words[1]
