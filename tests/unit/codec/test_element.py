"""The pieces of the converters against their definitions."""

import random
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data
from amaranth.sim import Simulator

from golden.formats import FORMATS
from mixdit_hw.codec.element import Element, Reach, Rounder, align, significand_bits, split
from mixdit_hw.params import ROUNDINGS, Params


def _simulate(build, cases: list[tuple[dict[str, int], Any]]) -> None:
    """Compare a piece with what is expected of it.

    ``build(m)`` returns its inputs and its output; a case is the values of the inputs, and what the output must be
    after them, or after the next clock edge where the piece has registers.
    """
    m = Module()
    inputs, output, clocked = build(m)

    async def testbench(ctx):
        for values, expected in cases:
            for name, value in values.items():
                ctx.set(inputs[name], value)
            if clocked:
                await ctx.tick()
            assert ctx.get(output) == expected, values

    simulator = Simulator(m)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("nonfinite", ["nan", "saturate"])
@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_split(subnormals, nonfinite):
    params = Params(subnormals=subnormals, nonfinite=nonfinite)

    def build(m):
        word = Signal(32)
        return {"word": word}, Cat(*split(m, params, word, "word")), False

    rng = random.Random(31)
    cases = []
    for _ in range(400):
        exponent, fraction, sign = rng.choice([0, 0, 255, 255, 1, 254, rng.randrange(256)]), 0, rng.getrandbits(1)
        if rng.random() < 0.8:
            fraction = rng.getrandbits(23) & rng.choice([0x7FFFFF, 0x7F0000, 0xFFFF, 0xFF])
        word = sign << 31 | exponent << 23 | fraction
        if exponent == 255 and nonfinite == "saturate":
            exponent, fraction, sign = (0, 0, 0) if fraction else (254, 0x7FFFFF, sign)
        significand = fraction | 1 << 23 if exponent else fraction << 1
        kept = significand >> 16
        if subnormals == "flush":
            significand, kept = fraction, fraction >> 16
        sticky = int(significand & 0xFFFF != 0)
        bits = sign | exponent << 1 | kept << 9 | sticky << 9 + significand_bits(params)
        cases.append(({"word": word}, bits))
    _simulate(build, cases)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_reach(subnormals, told):
    """Distances of all exponents below many shared ones, with and without a microexponent."""
    params = Params(subnormals=subnormals)

    def build(m):
        shared, exponent, micro = Signal(8), Signal(8), Signal()
        equal = shared[3:] == exponent[3:] if told else None
        distance, reached = Reach(m, params, shared).measure(m, exponent, micro, "x", equal=equal)
        masked = distance & Cat(reached).replicate(3)
        return {"shared": shared, "exponent": exponent, "micro": micro}, Cat(masked, reached), False

    cases = []
    for shared in [*range(40), *range(60, 256, 13), 127, 128, 254, 255]:
        for exponent in range(max(0, shared - 40), shared + 1):
            for micro in range(2 if exponent < shared else 1):
                distance = shared - micro - exponent
                reached = distance < 8 and (exponent > 0 or subnormals == "exact")
                bits = distance | 8 if reached else 0
                cases.append(({"shared": shared, "exponent": exponent, "micro": micro}, bits))
    _simulate(build, cases)


@pytest.mark.parametrize("subnormals", ["flush", "exact"])
def test_align(subnormals):
    params = Params(subnormals=subnormals)
    bits = significand_bits(params)

    def build(m):
        inputs = {
            "significand": Signal(bits),
            "lost": Signal(),
            "distance": Signal(3),
            "alive": Signal(),
            "hold": Signal(),
        }
        element = Element(Signal(), Signal(8), inputs["significand"], inputs["lost"])
        aligned, sticky = align(m, params, element, inputs["distance"], inputs["alive"], inputs["hold"], "x")
        meant = Signal()  # the sticky bit of an element that is not alive means nothing
        with m.If(~inputs["hold"]):
            m.d.sync += meant.eq(inputs["alive"])
        return inputs, Cat(aligned, sticky & meant), True

    rng = random.Random(32)
    cases, kept = [], 0
    for case in range(600):
        significand, lost, distance = rng.getrandbits(bits), rng.getrandbits(1), rng.randrange(8)
        if rng.random() < 0.4:
            significand &= 0xF0
        hold = int(case > 0 and rng.random() < 0.3)
        alive = int(not hold and rng.random() < 0.8)
        whole = significand | (1 << 7 if subnormals == "flush" else 0)
        if not hold:
            sticky = lost or whole & (1 << distance) - 1 != 0
            kept = (whole >> distance | int(sticky) << 8) if alive else 0
        values = {"significand": significand, "lost": lost, "distance": distance, "alive": alive, "hold": hold}
        cases.append((values, kept))
    _simulate(build, cases)


@pytest.mark.parametrize("rounding", [*ROUNDINGS, "runtime"])
@pytest.mark.parametrize("formats", [("mx9", "mx6", "mx4"), ("mx9",), ("mx6", "mx4"), ("mx4",)])
def test_rounder(rounding, formats):
    """All magnitudes, guard and sticky bits, in all formats and roundings."""
    params = Params(rounding=rounding, formats=formats)
    width = params.magnitude_bits
    layout = data.StructLayout({"format": 2, "rounding": 2})

    def build(m):
        chosen, aligned, sticky = Signal(layout), Signal(width + 1), Signal()
        magnitude = Rounder(m, params, chosen).round(m, aligned, sticky, "x")
        return {"chosen": Value.cast(chosen), "aligned": aligned, "sticky": sticky}, magnitude, False

    cases = []
    for fmt in (FORMATS[name] for name in formats):
        for mode in range(4) if rounding == "runtime" else [ROUNDINGS.index(rounding)]:
            for bits in range(1 << width + 2):
                aligned, sticky = bits >> 1, bits & 1
                below = width - fmt.magnitude_bits + 2  # bits of aligned and sticky below the last place
                magnitude, rest, half = bits >> below, bits & (1 << below) - 1, 1 << below - 1
                if mode == 0:
                    magnitude += rest > half or (rest == half and magnitude & 1)
                elif mode == 2:
                    magnitude += rest >= half
                expected = min(magnitude, fmt.max_magnitude) << width - fmt.magnitude_bits
                cases.append(({"chosen": fmt.code | mode << 2, "aligned": aligned, "sticky": sticky}, expected))
    _simulate(build, cases)
