"""What fits the operand buffers, and what then bounds a product."""

import pytest

from mixdit_hw.mixes import Segment
from mixdit_hw.params import Params
from mixdit_hw.perf.buffers import Buffering, buffering
from mixdit_hw.presets import PRESETS
from mixdit_hw.workloads import Gemm

EDGE, BASE = PRESETS["edge"], PRESETS["base"]


def product(m: int, k: int, n: int, outliers: int = 0) -> Gemm:
    segments = [Segment(a="mx6", w="mx6", k=k)]
    if outliers:
        segments.append(Segment(a="mx9", w="mx6", k=outliers))
    return Gemm(name="x", layer="x", m=m, n=n, k=k, segments=tuple(segments))


def test_worked():
    """256 x 1152 x 1152 with 16 outlier channels: 4 panels of 64 rows and 144 tiles of 8 columns on 8 x 8 engines."""
    found = buffering(product(256, 1152, 1152, 16), EDGE)
    assert found == Buffering(
        chunked=False,
        chunk=73,
        group=1,
        a_reads=1,
        w_reads=4,
        engines=4 * 144 * 8 * 74,
        a=256 * 73,
        w=4 * 1152 * 73,
        bus=256 * 72 + 4 * 1152 * 14,  # beats of 64 bytes: 72 of a row of FP32, 14 of 73 blocks of 12 bytes
    )
    assert found.bound == "engines"
    assert found.overlaps


@pytest.mark.parametrize(
    ("m", "slots", "group", "w_reads"),
    [(1, 2, 1, 1), (128, 2, 2, 1), (129, 2, 1, 3), (192, 3, 3, 1), (256, 3, 2, 2), (257, 3, 2, 3), (64, 4, 1, 1)],
)
def test_groups(m, slots, group, w_reads):
    """All panels share W where they fit; otherwise all slots but the one that is being filled."""
    found = buffering(product(m, 160, 80), EDGE.replace(a_slots=slots))
    assert (found.group, found.a_reads, found.w_reads) == (group, 1, w_reads)


def test_chunks():
    """One K block too many, an outlier block too, and each tile reads all of its operands.

    With outliers it reads all of A for each of two chunks, but where they are packed already.
    """
    design = EDGE.replace(k_depth=64)
    assert not buffering(product(128, 1024, 80), design).chunked
    for outliers, a_bytes, a_reads in ((0, 4, 10), (1, 4, 20), (1, None, 10)):
        found = buffering(product(128, 1025 - outliers, 80, outliers), design, a_bytes=a_bytes)
        assert (found.chunked, found.chunk, found.group, found.a_reads, found.w_reads) == (True, 64, 1, a_reads, 2)
        assert not found.overlaps


def test_more_outliers_than_go_in_one_pass():
    """Chunks are of as many blocks as the outlier split keeps, but not where A is packed."""
    design = EDGE.replace(outlier_depth=3)
    most = buffering(product(128, 1024, 80, 63), design)
    assert (most.chunked, most.chunk, most.group, most.a_reads, most.w_reads) == (False, 68, 2, 1, 1)
    more = buffering(product(128, 1024, 80, 64), design)
    assert (more.chunked, more.chunk, more.group, more.a_reads, more.w_reads) == (True, 3, 1, 23 * 10, 2)
    assert more.a == 230 * 128 * 68
    assert not more.overlaps
    assert buffering(product(128, 1024, 80, 64), design.replace(k_depth=4, outlier_depth=4)).chunk == 4
    assert not buffering(product(128, 1024, 80, 64), design, a_bytes=None).chunked


def test_bounds():
    """16 columns need two blocks of W per cycle where no two panels share it; a narrow bus is the bound before that."""
    assert buffering(product(512, 1152, 1152), BASE).bound == "w"
    assert buffering(product(256, 1152, 1152), BASE).overlaps
    narrow = buffering(product(256, 1152, 1152), BASE.replace(axi_width=64))
    assert narrow.bound == "bus"
    assert not narrow.overlaps


def test_types():
    """Elements of 2 bytes, and packed blocks on both sides."""
    gemm = product(10, 64, 6, 3)
    design = Params(axi_width=64)
    rows = {4: 32, 2: 16, None: 9}  # beats of 8 bytes; 4 blocks of 12 bytes and one of 18 are 66
    for element, beats in rows.items():
        assert buffering(gemm, design, a_bytes=element, w_bytes=4).bus == 10 * beats + 6 * 32
    assert buffering(gemm, design).bus == 10 * 32 + 6 * 8  # 5 blocks of 12 bytes
