"""Events of one product, by hand."""

from mixdit_hw.mixes import Segment
from mixdit_hw.params import Params
from mixdit_hw.perf.energy import Events, container_bits, count_events
from mixdit_hw.perf.memory import Traffic
from mixdit_hw.workloads import Gemm

MOVED = Traffic(order="a", a=1, w=20, c=300)


def test_events() -> None:
    """2 x 3 tiles of 8 x 2 outputs, two K blocks of one pass and one of two, 5 instances."""
    segments = (Segment(a="mx6", w="mx6", k=32), Segment(a="mx9", w="mx6", k=3))
    gemm = Gemm(name="g", layer="g", m=9, n=5, k=32, segments=segments, times=5)
    tiles, block = 5 * 2 * 3, 16 + 16 * 8
    assert count_events(Params(rows=2, columns=2), gemm, MOVED) == Events(
        macs={"6x6": 5 * 9 * 5 * 29, "9x6": 5 * 9 * 5 * 3},
        digit_products=tiles * 16 * 4 * 16,
        digit_passes=tiles * 16 * 4,
        accumulations=tiles * 16 * 3,
        a_written=tiles * 3 * 8 * block,
        a_read=tiles * 4 * 8 * block,
        w_written=tiles * 3 * 2 * block,
        w_read=tiles * 4 * 2 * block,
        c_written=tiles * 16 * 32,
        c_read=tiles * 16 * 32,
        memory_bytes=5 * 321,
    )


def test_containers() -> None:
    assert [container_bits(Params(formats=(f,))) for f in ("mx9", "mx6", "mx4")] == [144, 96, 64]


def test_sum() -> None:
    one = Events(macs={"6x6": 1, "9x6": 2}, a_read=3)
    assert one + Events(macs={"9x6": 4}, w_read=5) == Events(macs={"6x6": 1, "9x6": 6}, a_read=3, w_read=5)
