"""The writer against a memory: every offset and size, any delays and orders, pages, errors, halts, rates."""

import random
from dataclasses import dataclass

import pytest

from mixdit_hw.bus.layouts import PieceLayout
from mixdit_hw.bus.write import OPEN_BURSTS, Writer
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.params import AXI_WIDTHS, Params
from tests.support.axi_memory import PAGE_BYTES, AxiMemory, Feed, Store, play
from tests.support.clocked import Clocked
from tests.support.streams import to_bits

KINDS = ("always", "random", "mostly", "bursts")


@dataclass(frozen=True)
class Piece:
    """Bytes to write, with what stands behind them in the payload."""

    address: int
    values: bytes
    behind: bytes

    @classmethod
    def random(cls, rng: random.Random, address: int, count: int) -> "Piece":
        return cls(address, rng.randbytes(count), rng.randbytes(64 - count))

    def bits(self, params: Params) -> int:
        data = int.from_bytes(self.values + self.behind, "little")
        return to_bits(PieceLayout(params), {"address": self.address, "bytes": len(self.values), "data": data})

    def bursts(self, data_bits: int) -> list[tuple[int, int]]:
        """Addresses, multiples of the bus's width, and beats: one, or two where it crosses 4 KiB."""
        size, end = data_bits // 8, self.address + len(self.values)
        edge = (self.address // PAGE_BYTES + 1) * PAGE_BYTES
        parts = [(self.address, min(end, edge))] + [(edge, end)] * (end > edge)
        return [(a // size * size, -(-b // size) - a // size) for a, b in parts]


def write(params: Params, pieces: list[Piece], *, idle: str = "always", seed: int = 0, **options) -> AxiMemory:
    """Write pieces, and compare the memory and the bursts with what must be."""
    store, expected = Store(seed), Store(seed)
    for piece in pieces:
        expected.write(piece.address, piece.values)
    memory = AxiMemory(params.axi_width, params.address_bits, store, seed=seed, reads=False, **options)
    bursts = [burst for piece in pieces for burst in piece.bursts(params.axi_width)]
    feed = Feed([piece.bits(params) for piece in pieces], idle, seed)
    out = play(
        Clocked(Writer(params)),
        {"axi": memory, "piece": feed},
        until=lambda: memory.rules.writes == len(bursts) and not feed.left,
        watch=("idle", "beat", "wait", "error"),
        timeout=500 + 200 * len(pieces),
    )
    memory.rules.end()
    assert store == expected
    assert memory.bursts == bursts
    assert out["error"][-1] == 0
    assert out["idle"][-1] == 1
    assert [n for n, beat in enumerate(out["beat"]) if beat] == memory.beat_cycles
    # Idle is low exactly from the cycle in which the unit holds a piece until the last response has come.
    assert all(out["idle"][n] == 0 for n in memory.beat_cycles)
    assert not any(w and (i or b) for w, i, b in zip(out["wait"], out["idle"], out["beat"], strict=True))
    return memory


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_every_offset_and_size(width):
    """From every even offset pieces of every even size, one after the other."""
    rng = random.Random(width)
    sizes = range(2, 65, 2) if width < 512 else (2, 4, 8, 12, 18, 30, 32, 34, 62, 64)
    places = [(offset, size) for offset in range(0, width // 8, 2) for size in sizes]
    rng.shuffle(places)
    pieces = [Piece.random(rng, 0x10000 + 64 * rng.randrange(64) + offset, size) for offset, size in places]
    write(Params(axi_width=width), pieces)


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("seed", range(4))
def test_random(width, seed):
    """Stalls and delays of everything; addresses before data, data before addresses, or both; many at page edges."""
    rng = random.Random(f"{width}-{seed}")
    params = Params(axi_width=width, address_bits=rng.choice((32, 40, 64)))
    pieces = []
    for _ in range(120):
        page = PAGE_BYTES * rng.randrange(1, 5)
        address = rng.choice((page - 2 * rng.randrange(1, 40), page + 2 * rng.randrange(1000)))
        pieces.append(Piece.random(rng, address, 2 * rng.randrange(1, 33)))
    write(
        params,
        pieces,
        idle=rng.choice(KINDS),
        ready=rng.choice(KINDS),
        latency=rng.choice(((1, 1), (1, 40), (20, 30))),
        order=("", "address", "data", "")[seed],
        seed=seed,
    )


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_page_edges(width):
    """Every size from every offset below the edge of a page: two bursts where it crosses it, and one where not."""
    rng = random.Random(width)
    places = [(before, size) for before in range(2, 65, 6) for size in (2, 8, 18, 32, 64)]
    places += [(size, size) for size in range(2, 65, 2)]  # up to the edge
    pieces = [Piece.random(rng, 0x5000 - before, size) for before, size in places]
    memory = write(Params(axi_width=width), pieces, order="address")
    assert len(memory.bursts) == len(pieces) + sum(size > before for before, size in places)


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("bits", [32, 43, 64])
def test_last_address(width, bits):
    rng, top = random.Random(bits), 1 << bits
    pieces = [Piece.random(rng, top - size, size) for size in (2, 64, 10, 32)] + [Piece.random(rng, 0, 64)]
    write(Params(axi_width=width, address_bits=bits), pieces)


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_full_rate(width):
    """A beat in every cycle: pieces within one beat, and pieces of whole beats."""
    rng = random.Random(width)
    params, size = Params(axi_width=width), width // 8
    for count, address in ((size, 0), (2, size - 2), (64, 0), (size - 4, 2)):
        pieces = [Piece.random(rng, 4096 + max(size, 64) * n + address, count) for n in range(100)]
        cycles = write(params, pieces, latency=(1, 8)).beat_cycles
        assert len(cycles) == 100 * -(-count // size)
        assert cycles[-1] - cycles[0] == len(cycles) - 1


@pytest.mark.parametrize("width", AXI_WIDTHS)
def test_latency(width):
    """From a piece to its address and first beat, with all constant fields."""
    params = Params(axi_width=width)
    names = {"awid": 0, "awsize": (width // 8).bit_length() - 1, "awburst": 1, "awcache": 2, "awprot": 0, "bready": 1}
    row = {"piece.valid": 1, "piece.payload": Piece(0x40, bytes(2), bytes(62)).bits(params)}
    names_of = [f"axi.{name}" for name in names]
    out = Clocked(Writer(params)).run([row, {}, {}, {}], ["axi.awvalid", "axi.wvalid", "axi.wlast", *names_of])
    assert Writer.latency == 2
    assert out["axi.awvalid"] == out["axi.wvalid"] == [0, 0, 1, 1]
    assert out["axi.wlast"][2] == 1
    assert {name: out[f"axi.{name}"][2] for name in names} == names


def test_most_bursts():
    """No more bursts begin than may wait for a response; each response lets one more begin."""
    params = Params(axi_width=64)
    row = {"piece.valid": 1, "piece.payload": Piece(0, bytes(2), bytes(62)).bits(params)}
    row |= {"axi.awready": 1, "axi.wready": 1}
    rows = [row] * 40 + [row | {"axi.bvalid": 1}] + [row] * 10
    out = Clocked(Writer(params)).run(rows, ["axi.awvalid", "axi.wvalid"])
    assert out["axi.awvalid"] == out["axi.wvalid"]
    assert (sum(out["axi.awvalid"][:41]), sum(out["axi.awvalid"])) == (OPEN_BURSTS, OPEN_BURSTS + 1)


@pytest.mark.parametrize(("first", "second", "error"), [(0, 0, 0), (2, 3, 2), (3, 2, 3), (0, 3, 3)])
def test_errors(first, second, error):
    """The first error stays, and all is written as always."""
    params, rng = Params(axi_width=128), random.Random(1)
    memory = AxiMemory(128, params.address_bits, Store(), errors={0: first, 1: second}, reads=False)
    pieces = [Piece.random(rng, 4096 - 32, 64), Piece.random(rng, 0x2000, 16)]
    out = play(
        Clocked(Writer(params)),
        {"axi": memory, "piece": Feed([piece.bits(params) for piece in pieces])},
        until=lambda: memory.rules.writes == 3,
        watch=("error", "idle"),
    )
    memory.rules.end()
    assert (out["error"][-1], out["idle"][-1]) == (error, 1)
    assert set(out["error"]) <= {0, error}


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("seed", range(6))
def test_halt(width, seed):
    """From a random cycle on no burst begins; those that have begun end; then the unit is idle, and stays so."""
    rng = random.Random(f"{width}-{seed}")
    params = Params(axi_width=width)
    store, expected = Store(), Store()
    memory = AxiMemory(
        width,
        params.address_bits,
        store,
        seed=seed,
        ready=rng.choice(KINDS),
        latency=(1, 30),
        order=rng.choice(("", "address", "data")),
        reads=False,
    )
    pieces = [Piece.random(rng, 4096 * (n + 1) - 2 * rng.randrange(1, 33), 64) for n in range(100)]
    start = rng.randrange(4, 100)
    out = play(
        Clocked(Writer(params)),
        {"axi": memory, "piece": Feed([piece.bits(params) for piece in pieces])},
        until=lambda: memory.rules.now >= start + 200,
        pins=lambda now: {"halt": int(now >= start)},
        watch=("idle",),
    )
    memory.rules.end()
    assert memory.idle
    quiet = out["idle"].index(1, start)
    assert all(out["idle"][quiet:])
    assert not any(out["axi.awvalid"][quiet:] + out["axi.wvalid"][quiet:])
    # No address comes that was not on the bus by then.
    offers = list(zip(out["axi.awvalid"], out["axi.awaddr"], strict=True))[start + 1 :]
    assert len({address for valid, address in offers if valid}) <= 1
    assert [valid for valid, _ in offers] == sorted((valid for valid, _ in offers), reverse=True)
    bursts = [burst for piece in pieces for burst in piece.bursts(width)]
    assert memory.bursts == bursts[: len(memory.bursts)]
    # Whole bursts have been written, and nothing else.
    left = len(memory.bursts)
    for piece in pieces:
        for address, beats in piece.bursts(width)[:left]:
            low, high = max(address, piece.address), address + beats * width // 8
            values = piece.values[low - piece.address : high - piece.address]
            expected.write(low, values)
        left = max(0, left - len(piece.bursts(width)))
    assert store == expected


@pytest.mark.parametrize("width", [64, 512])
def test_emits(width):
    params = Params(axi_width=width)
    design = build_design(Writer(params))
    names = {port.name for port in design.top.ports}
    assert {"axi_awaddr", "axi_wdata", "axi_bready", "piece_valid", "piece_bytes", "wait_"} <= names
