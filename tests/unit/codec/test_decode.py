"""Unpacking and packing against a table, the scalar reference and the golden model."""

import random
from functools import cache

import numpy as np
import pytest

import golden
from golden.formats import FORMATS, Format
from mixdit_hw.codec.decode import Packer, Unpacker
from mixdit_hw.params import Params
from tests.support.mx_reference import Block
from tests.support.streams import Bench, Sink, Source, assert_full_rate

SUBSETS = [("mx9", "mx6", "mx4"), ("mx6", "mx4"), ("mx9", "mx4"), ("mx4",)]


@cache
def _benches(formats: tuple[str, ...]):
    params = Params(formats=formats)
    unpacker, packer = Unpacker(params), Packer(params)
    return params, unpacker, Bench(unpacker), packer, Bench(packer)


def _random_block(rng: random.Random, fmt: Format) -> Block:
    return Block(
        rng.choice([rng.getrandbits(8), 0, 255]),
        rng.getrandbits(8),
        tuple(rng.getrandbits(1) for _ in range(16)),
        tuple(rng.getrandbits(fmt.magnitude_bits) for _ in range(16)),
    )


def _cases(seed: int, formats) -> tuple[list[tuple[Block, Format]], list[int], list[int], Params]:
    """Blocks with their packed and container beats."""
    params = Params(formats=formats)
    rng = random.Random(seed)
    blocks = [(_random_block(rng, fmt), fmt) for fmt in rng.choices(params.format_set, k=200)]
    packed_bits = params.format_set[0].block_bits
    container_bits = 16 + 16 * (params.magnitude_bits + 1)
    packed = [block.pack(fmt) | fmt.code << packed_bits for block, fmt in blocks]
    containers = [block.container(fmt, params.magnitude_bits) | fmt.code << container_bits for block, fmt in blocks]
    return blocks, packed, containers, params


@pytest.mark.parametrize("formats", SUBSETS)
@pytest.mark.parametrize(("idle", "back"), [("always", "always"), ("random", "bursts")])
def test_random_fields_both_ways(formats, idle, back):
    _, packed, containers, _ = _cases(21, formats)
    _, unpacker, unpacker_bench, packer, packer_bench = _benches(formats)
    for dut, bench, given, expected in (
        (unpacker, unpacker_bench, packed, containers),
        (packer, packer_bench, containers, packed),
    ):
        source = Source(dut.i, given, idle=idle, seed=1)
        sink = Sink(dut.o, len(expected), backpressure=back, seed=2)
        bench.run(source, sink)
        assert sink.items == expected
        assert source.cycles == sink.cycles  # latency 0
        assert dut.latency == 0
        if idle == back == "always":
            assert_full_rate(source, sink)


def test_worked_example():
    """A block of MX6, and its magnitudes at the container's top."""
    packed = int.from_bytes(bytes.fromhex("80bd88b615e4f20002f0c788"), "little")
    magnitudes = [0x08, 4, 0xD, 0xB, 1, 2, 0xB, 0xE, 0, 0, 0, 0, 0xF, 3, 3, 1]
    _, unpacker, bench, _, _ = _benches(SUBSETS[0])
    sink = Sink(unpacker.o, 1)
    bench.run(Source(unpacker.i, [packed | 1 << 144]), sink)
    block = sink.payloads()[0].blocks[0]
    assert (block.exponent, block.micro) == (0x80, 0xBD)
    assert [block.elements[k].magnitude for k in range(16)] == [x << 3 for x in magnitudes]
    assert [block.elements[k].sign for k in range(16)] == [0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_golden_blocks(fmt):
    x = np.random.default_rng(22).standard_normal((1, 16 * 60)).astype(np.float32)
    tensor = golden.quantize(x, fmt)
    blocks = np.asarray(tensor.pack()).reshape(-1, fmt.block_bytes)
    packed = [int.from_bytes(bytes(block), "little") | fmt.code << 144 for block in blocks]
    _, unpacker, bench, _, _ = _benches(SUBSETS[0])
    sink = Sink(unpacker.o, len(packed))
    bench.run(Source(unpacker.i, packed), sink)
    for b, payload in enumerate(sink.payloads()):
        elements = payload.blocks[0].elements
        assert payload.blocks[0].exponent == tensor.exponents[0, b]
        assert payload.blocks[0].micro == tensor.micro[0, b]
        low = 7 - fmt.magnitude_bits
        assert [elements[k].magnitude >> low for k in range(16)] == tensor.magnitudes[0, b].tolist()
        assert [elements[k].sign for k in range(16)] == tensor.signs[0, b].tolist()


def test_bits_above_a_narrow_block_are_ignored_and_lost_bits_dropped():
    _, unpacker, unpacker_bench, packer, packer_bench = _benches(SUBSETS[0])
    zero_mx4 = (1 << 144) - (1 << 64)
    sink = Sink(unpacker.o, 1)
    unpacker_bench.run(Source(unpacker.i, [zero_mx4]), sink)
    assert sink.items == [0]
    low_bits = sum(0b0011111 << 16 + 8 * k for k in range(16))
    sink = Sink(packer.o, 1)
    packer_bench.run(Source(packer.i, [low_bits]), sink)
    assert sink.items == [0]


def test_unknown_format_is_the_widest():
    _, unpacker, unpacker_bench, packer, packer_bench = _benches(("mx6", "mx4"))
    bits = random.Random(23).getrandbits(96)
    for dut, bench in ((unpacker, unpacker_bench), (packer, packer_bench)):
        sink = Sink(dut.o, 3)
        bench.run(Source(dut.i, [bits | code << 96 for code in (1, 2, 3)]), sink)
        assert sink.items == [bits | code << 96 for code in (1, 2, 3)]


@pytest.mark.parametrize("unit", [Unpacker, Packer])
def test_rejects_what_is_no_params(unit):
    with pytest.raises(TypeError, match=r"^params must be a Params, not None$"):
        unit(None)
