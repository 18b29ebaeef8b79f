"""The read arbiter with fetchers as its clients: whose data are whose, turns, errors, halts and counters."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from mixdit_hw.bus.read import ReadArbiter
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.params import Params
from tests.support.axi_memory import AxiMemory, Drain, Feed, Reader, Run, Store, play
from tests.support.clocked import Clocked


def random_runs(rng: random.Random, count: int, longest: int = 200) -> list[Run]:
    return [
        Run(2 * rng.randrange(1 << 30), 2 * rng.randrange(1, longest), 2 * rng.randrange(1, 33)) for _ in range(count)
    ]


class Closed(Drain):
    """A sink that takes nothing until a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__()
        self._condition = condition

    def willing(self) -> bool:
        return self._condition()


@pytest.mark.parametrize(("width", "clients"), [(64, 1), (64, 2), (64, 5), (128, 3), (512, 3)])
def test_clients(clients, width):
    """Each client gets its own data, with stalls and delays, while one takes nothing until all others are done."""
    rng = random.Random(f"{clients}-{width}")
    params = Params(axi_width=width, read_depth=16)
    store = Store()
    memory = AxiMemory(
        width, params.address_bits, store, seed=clients, ready="random", beats="mostly", latency=(1, 20), writes=False
    )
    runs = [random_runs(rng, 8) for _ in range(clients)]
    drains = [Drain(("random", "always", "bursts")[n % 3], n) for n in range(clients)]
    expected = [[item for run in own for item in run.items(store)] for own in runs]
    last, others = drains[-1], list(zip(drains, expected, strict=True))[:-1]
    if clients > 1:
        drains[-1] = last = Closed(lambda: all(len(d.items) == len(e) for d, e in others))
    parts: dict[str, Any] = {"axi": memory}
    for n, own in enumerate(runs):
        parts |= {f"run_{n}": Feed([run.bits(params) for run in own], "random", n), f"o_{n}": drains[n]}
    out = play(
        Clocked(Reader(params, clients)), parts, until=lambda: len(last.items) == len(expected[-1]), watch=("idle",)
    )
    memory.rules.end()
    assert [d.items for d in drains] == expected
    assert out["idle"][-1] == 1


def single(address: int, client: int, valid: int = 1) -> dict[str, int]:
    return {f"ar_{client}.valid": valid, f"ar_{client}.payload": address}


class Bare(ReadArbiter):
    """An arbiter whose clients have names."""

    def __init__(self, params: Params, clients: int) -> None:
        super().__init__(params, clients)
        for n in range(clients):
            setattr(self, f"ar_{n}", self.ar[n])
            setattr(self, f"r_valid_{n}", self.r_valid[n])


def test_turns():
    """Clients that always ask have turns, one burst in every cycle; a single one has all."""
    params = Params(axi_width=64)
    outputs = ["axi.arvalid", "axi.araddr"]
    always = {name: value for n in range(3) for name, value in single(8 * n, n).items()}
    out = Clocked(Bare(params, 3)).run([always | {"axi.arready": 1}] * 10, outputs)
    assert out["axi.arvalid"] == [0] + [1] * 9
    assert out["axi.araddr"][1:] == [0, 8, 16] * 3
    two = single(0, 0) | single(16, 2) | {"axi.arready": 1}
    out = Clocked(Bare(params, 3)).run([two] * 4 + [single(16, 2) | {"axi.arready": 1}] * 4, outputs)
    assert out["axi.araddr"][1:] == [0, 16, 0, 16, 16, 16, 16]


def test_constant_fields():
    """What every burst has in common, and the number of beats."""
    params = Params(axi_width=256)
    names = {"arid": 0, "arsize": 5, "arburst": 1, "arcache": 2, "arprot": 0, "rready": 1}
    row = {"ar_0.valid": 1, "ar_0.payload": 0x1240 | 7 << params.address_bits}
    out = Clocked(Bare(params, 1)).run([row, {}], [*(f"axi.{name}" for name in names), "axi.araddr", "axi.arlen"])
    assert {name: out[f"axi.{name}"][1] for name in names} == names
    assert (out["axi.araddr"][1], out["axi.arlen"][1]) == (0x1240, 7)


def test_latency_and_counters():
    """A burst is on the bus one cycle after its acceptance, a beat at its client one after it came."""
    params = Params(axi_width=64)
    rows: list[dict[str, int]] = [{} for _ in range(10)]
    rows[1] = single(8 | 1 << params.address_bits, 1)
    rows[3] = {"axi.arready": 1}
    rows[5] = {"axi.rvalid": 1, "axi.rdata": 11}
    rows[7] = {"axi.rvalid": 1, "axi.rdata": 12, "axi.rlast": 1}
    outputs = ["axi.arvalid", "r_valid_0", "r_valid_1", "r_data", "beat", "wait", "idle"]
    out = Clocked(Bare(params, 2)).run(rows, outputs)
    assert ReadArbiter.latency == 1
    assert out["axi.arvalid"] == [0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert out["r_valid_0"] == [0] * 10
    assert out["r_valid_1"] == [0, 0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert (out["r_data"][6], out["r_data"][8]) == (11, 12)
    assert out["beat"] == [0, 0, 0, 0, 0, 1, 0, 1, 0, 0]
    assert out["wait"] == [0, 0, 1, 1, 1, 0, 1, 0, 0, 0]
    assert out["idle"] == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]


def test_halt():
    """A burst on the bus stays; none is accepted after it."""
    params = Params(axi_width=64)
    rows = [single(8, 0)] * 2 + [single(16, 0) | {"halt": 1}] * 3 + [single(16, 0) | {"halt": 1, "axi.arready": 1}] * 3
    out = Clocked(Bare(params, 2)).run(rows, ["axi.arvalid", "axi.araddr", "ar_0.ready", "idle"])
    assert out["axi.arvalid"] == [0, 1, 1, 1, 1, 1, 0, 0]
    assert out["axi.araddr"][1:6] == [8] * 5
    assert out["ar_0.ready"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert out["idle"] == [1] + [0] * 7  # its data have not come


def test_most_bursts():
    """No more bursts are accepted than read_depth; one that ends makes room for one."""
    params = Params(axi_width=64, read_depth=16)
    ask = single(8, 0) | single(8, 1) | {"axi.arready": 1}
    rows = [ask] * 40 + [ask | {"axi.rvalid": 1, "axi.rlast": 1}] + [ask] * 10
    out = Clocked(Bare(params, 2)).run(rows, ["axi.arvalid", "r_valid_0", "r_valid_1"])
    assert sum(out["axi.arvalid"][:41]) == 16
    assert sum(out["axi.arvalid"]) == 17
    assert (sum(out["r_valid_0"]), sum(out["r_valid_1"])) == (1, 0)


@pytest.mark.parametrize(
    ("responses", "error"),
    [([0, 0], 0), ([1, 0], 0), ([2, 0], 2), ([0, 3], 3), ([3, 2], 3), ([2, 3, 0], 2)],
)
def test_errors(responses, error):
    """The first error stays; the data come as always."""
    params = Params(axi_width=64)
    beats = len(responses)
    rows = [single(0 | beats - 1 << params.address_bits, 0) | {"axi.arready": 1}, {"axi.arready": 1}]
    rows += [{"axi.rvalid": 1, "axi.rresp": r, "axi.rlast": int(n == beats - 1)} for n, r in enumerate(responses)]
    out = Clocked(Bare(params, 1)).run(rows, ["error", "r_valid_0", "idle"], tail=3)
    assert out["error"][-1] == error
    first = next((n for n, response in enumerate(responses) if response > 1), len(rows))
    assert out["error"] == [error if n > first + 2 else 0 for n in range(len(out["error"]))]
    assert sum(out["r_valid_0"]) == beats
    assert out["idle"][-1] == 1


def test_errors_through_fetchers():
    """A page that answers with an error: it is told, and all items come."""
    params = Params(axi_width=128)
    store = Store()
    memory = AxiMemory(128, params.address_bits, store, errors={2: 3}, writes=False)
    run = Run(0x1F00, 512, 64)
    drain = Drain()
    out = play(
        Clocked(Reader(params)),
        {"axi": memory, "run_0": Feed([run.bits(params)]), "o_0": drain},
        until=lambda: len(drain.items) == 8,
        watch=("arbiter.error",),
    )
    assert drain.items == run.items(store)
    assert out["arbiter.error"][-1] == 3


def test_clients_are_at_least_one():
    with pytest.raises(ValueError, match=r"^clients must be at least 1, not 0$"):
        ReadArbiter(Params(), 0)


@pytest.mark.parametrize("clients", [1, 4])
def test_emits(clients):
    design = build_design(ReadArbiter(Params(), clients))
    names = {port.name for port in design.top.ports}
    assert {"axi_araddr", "axi_rdata", "ar_0_valid", "ar_0_address", "r_valid_0", "wait_", "r_data"} <= names
    assert "axi_araddr" in design.text(Params())
