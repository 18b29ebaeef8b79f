"""Bit layouts of the streams' payloads."""

import numpy as np
import pytest
from amaranth.lib import data

from golden.formats import FORMATS
from mixdit_hw.shapes import BlockBeatLayout, BlockLayout, CommandLayout, ElementLayout, ResultBeatLayout
from tests.support.blocks import random_block


def fields(layout: data.StructLayout) -> dict[str, tuple[int, int]]:
    """Offset and width of each field."""
    return {name: (field.offset, field.width) for name, field in layout}


@pytest.mark.parametrize("bits", [7, 4, 2])
def test_block(bits):
    assert fields(ElementLayout(bits)) == {"magnitude": (0, bits), "sign": (bits, 1)}
    assert fields(BlockLayout(bits)) == {"exponent": (0, 8), "micro": (8, 8), "elements": (16, 16 * (bits + 1))}
    assert BlockLayout(bits).magnitude_bits == bits


@pytest.mark.parametrize("name", FORMATS)
def test_block_of_its_own_format_is_the_packed_block(name):
    """Element i lies at bits 16 + i(m+1), its sign on top; the size is that of the packed block."""
    fmt = FORMATS[name]
    layout = BlockLayout(fmt.magnitude_bits)
    assert layout.size == fmt.block_bits
    block = random_block(np.random.default_rng(fmt.code), fmt)
    fields = layout.from_bits(block.container(fmt.magnitude_bits))
    assert (fields.exponent, fields.micro) == (block.exponent, block.micro)
    elements = [(element.sign, element.magnitude) for element in fields.elements]
    assert elements == list(zip(block.signs, block.magnitudes, strict=True))


@pytest.mark.parametrize(("count", "bits"), [(1, 7), (3, 4), (16, 2)])
def test_block_beat(count, bits):
    block = BlockLayout(bits).size
    assert fields(BlockBeatLayout(count, bits)) == {"blocks": (0, count * block), "format": (count * block, 2)}


def test_command():
    assert fields(CommandLayout()) == {"blocks": (0, 16), "accumulate": (16, 1)}


@pytest.mark.parametrize(("drain", "columns"), [(1, 1), (2, 3)])
def test_result_beat(drain, columns):
    words = 32 * drain * columns
    assert fields(ResultBeatLayout(drain, columns)) == {"words": (0, words), "last": (words, 1)}
