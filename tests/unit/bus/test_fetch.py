"""Fetchers behind an arbiter, against bytes of a memory: every offset and size, any delays, rates, and halts."""

import random
from typing import Any

import pytest

from mixdit_hw.bus.fetch import Fetcher, burst_beats
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.params import AXI_WIDTHS, Params
from tests.support.axi_memory import AxiMemory, Drain, Feed, Reader, Run, Store, play
from tests.support.clocked import Clocked

SIZES = (64, 32, 18, 12, 8, 4, 2)


class Fetched:
    """What came of a run of the bench with one fetcher."""

    def __init__(
        self,
        params: Params,
        runs: list[Run],
        *,
        idle: str = "always",
        back: str = "always",
        ready: str = "always",
        beats: str = "always",
        latency: tuple[int, int] = (1, 1),
        seed: int = 0,
    ) -> None:
        store = Store(seed)
        self.memory = AxiMemory(
            params.axi_width,
            params.address_bits,
            store,
            seed=seed,
            ready=ready,
            beats=beats,
            latency=latency,
            writes=False,
        )
        self.drain = Drain(back, seed + 2)
        expected = [item for run in runs for item in run.items(store)]
        feed = Feed([run.bits(params) for run in runs], idle, seed + 1)
        play(
            Clocked(Reader(params)),
            {"axi": self.memory, "run_0": feed, "o_0": self.drain},
            until=lambda: len(self.drain.items) >= len(expected),
            timeout=2000 + 20 * len(expected) + sum(run.bytes for run in runs),
        )
        self.memory.rules.end()
        assert self.drain.items == expected
        bursts = [burst for run in runs for burst in run.bursts(params.axi_width, burst_beats(params))]
        assert self.memory.bursts == bursts


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_every_offset_and_size(width):
    """From every even offset runs in every item size, of one item and a few, up to a short one, one after the other."""
    params = Params(axi_width=width)
    rng = random.Random(width)
    runs = []
    for offset in range(0, width // 8, 2):
        for item in SIZES:
            address = 0x1000 + 64 * rng.randrange(64) + offset
            runs.append(Run(address, rng.choice((item, 2, item + 2, 2 * item, 3 * item - 2)), item))
    rng.shuffle(runs)
    Fetched(params, runs)


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("seed", range(3))
def test_random(width, seed):
    """Runs of any kind, with stalls and delays of everything."""
    rng = random.Random(100 * width + seed)
    params = Params(axi_width=width, address_bits=rng.choice((32, 40, 64)), read_depth=rng.choice((16, 32, 64)))
    runs = []
    for _ in range(40):
        item = rng.choice((*SIZES, 2 * rng.randrange(1, 33)))
        count = 2 * rng.choice((1, rng.randrange(1, 40), rng.randrange(1, 200)))
        page = rng.randrange(1, 1 << params.address_bits - 12) << 12
        runs.append(Run(page - 2 * rng.randrange(0, 60), count, item))
    kinds = ("always", "random", "mostly", "bursts")
    chosen: dict[str, Any] = {name: rng.choice(kinds) for name in ("idle", "back", "ready", "beats")}
    Fetched(params, runs, latency=rng.choice(((1, 1), (1, 30), (20, 40))), seed=seed, **chosen)


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_long_runs(width):
    """Kilobytes over several pages; and a run whose beats are more than there is room for, with a slow sink."""
    params = Params(axi_width=width, read_depth=16)
    runs = [Run(0x1FFA, 9216 * width // 512 + 2, 64), Run(0x8, 4096, 64)]
    Fetched(params, runs, back="bursts", latency=(1, 20), seed=width)


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("bits", [32, 43, 64])
def test_last_address(width, bits):
    """A run up to the last byte of the address space, another run behind it, and the first bytes."""
    params = Params(axi_width=width, address_bits=bits)
    top = 1 << bits
    Fetched(params, [Run(top - 2, 2, 64), Run(top - 330, 330, 64), Run(0, 66, 64), Run(top - 64, 64, 64)])


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_longest_run(width):
    """The number of beats of the longest run fits: 65535 FP32 words, of which the first 2 KiB are read."""
    params = Params(axi_width=width)
    memory = AxiMemory(width, params.address_bits, Store(), writes=False)
    drain, run = Drain(), Run(width // 8 - 2, 4 * 65535, 64)
    expected = run.items(Store())
    play(
        Clocked(Reader(params)),
        {"axi": memory, "run_0": Feed([run.bits(params)]), "o_0": drain},
        until=lambda: len(drain.items) >= 32,
        surplus=1,
    )
    assert drain.items == expected[: len(drain.items)]


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("offset", [0, 6])
@pytest.mark.parametrize(("depth", "latency"), [(16, 1), (128, 100)])
def test_full_rate(width, offset, depth, latency):
    """Once data come, a beat comes in every cycle, whatever the latency; and so do items on the widest bus."""
    params = Params(axi_width=width, read_depth=depth)
    count = 600 * width // 8
    got = Fetched(params, [Run(4096 + offset, count, 64)], latency=(latency, latency))
    beats = got.memory.beat_cycles
    assert beats[-1] - beats[0] == len(beats) - 1
    if width == 512:
        assert got.drain.cycles[-2] - got.drain.cycles[0] == len(got.drain.cycles) - 2


@pytest.mark.parametrize("item", [18, 12, 8, 4, 2])
@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_small_items_at_full_rate(width, item):
    """An item in every cycle, or, where the bus has less, a beat."""
    params = Params(axi_width=width)
    got = Fetched(params, [Run(4096 + 6, 300 * item, item)])
    beats, items = got.memory.beat_cycles, got.drain.cycles
    if item > width // 8:
        assert beats[-1] - beats[0] == len(beats) - 1
    else:
        assert items[-1] - items[0] == len(items) - 1


@pytest.mark.parametrize(
    ("width", "bytes", "offset"), [(512, 64, 0), (512, 24, 8), (512, 64, 6), (64, 8, 0), (64, 64, 2)]
)
def test_short_runs_at_full_rate(width, bytes, offset):
    """Runs of one item each follow each other without a gap, over a latency of 50 cycles."""
    params = Params(axi_width=width, read_depth=128)
    got = Fetched(params, [Run(4096 + 64 * n + offset, bytes, 64) for n in range(150)], latency=(50, 50))
    beats = got.memory.beat_cycles
    assert beats[-1] - beats[0] == len(beats) - 1


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_latency(width):
    """From a run to its burst, and from its last beat to its item."""
    params = Params(axi_width=width)
    dut = Reader(params)
    for item in (32, 64):
        feed, drain = Feed([Run(0, item, item).bits(params)]), Drain()
        memory = AxiMemory(width, params.address_bits, Store(), writes=False)
        out = play(
            Clocked(dut),
            {"axi": memory, "run_0": feed, "o_0": drain},
            until=lambda drain=drain: len(drain.items) == 1,
            watch=("ar_0.valid", "r_valid_0"),
        )
        beats = [n for n, valid in enumerate(out["r_valid_0"]) if valid]
        assert out["ar_0.valid"].index(1) == 2
        assert drain.cycles[0] - beats[-1] == Fetcher.latency


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("seed", range(4))
def test_halt(width, seed):
    """From a random cycle on no burst begins; those that have begun end, and their data are taken."""
    rng = random.Random(f"{width}-{seed}")
    params = Params(axi_width=width, read_depth=32)
    store = Store()
    memory = AxiMemory(
        width, params.address_bits, store, seed=seed, ready="random", beats="random", latency=(1, 30), writes=False
    )
    runs = [Run(4096 * n + 10, 2 * rng.randrange(1, 300), 64) for n in range(20)]
    start = rng.randrange(5, 120)
    drain = Drain("random", seed)
    end = start + 200
    out = play(
        Clocked(Reader(params)),
        {"axi": memory, "run_0": Feed([run.bits(params) for run in runs]), "o_0": drain},
        until=lambda: memory.rules.now >= end,
        pins=lambda now: {"halt": int(now >= start)},
        watch=("idle", "ar_0.valid", "ar_0.payload"),
    )
    memory.rules.end()
    assert memory.idle
    assert out["idle"][-1] == 1
    quiet = out["idle"].index(1, start)
    assert not any(out["axi.arvalid"][quiet:])
    # No address comes that was not offered by then.
    for valid, address in (("axi.arvalid", "axi.araddr"), ("ar_0.valid", "ar_0.payload")):
        offers = list(zip(out[valid], out[address], strict=True))[start + 1 :]
        assert len({where for offered, where in offers if offered}) <= 1
        assert [offered for offered, _ in offers] == sorted((offered for offered, _ in offers), reverse=True)
    expected = [item for run in runs for item in run.items(store)]
    assert drain.items == expected[: len(drain.items)]


@pytest.mark.parametrize("width", [64, 512])
def test_emits(width):
    design = build_design(Fetcher(Params(axi_width=width)))
    assert design.name == "mixdit_fetcher"
    assert set(design.instances) == {"mixdit_fetcher", *(n for n in design.modules if "stream_queue" in n)}
