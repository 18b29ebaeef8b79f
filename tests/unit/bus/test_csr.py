"""The registers on their bus, against a model that is told what was written when."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import pytest

from mixdit_hw.bus.csr import CsrBank
from mixdit_hw.params import Params
from mixdit_hw.ports import flatten_ports
from mixdit_hw.registers import REGISTERS, SPACE_BYTES, capability_values
from tests.support.clocked import Clocked
from tests.support.errors import raises_exactly

OKAY, SLVERR = 0, 2
BUS = ("awready", "wready", "bvalid", "bresp", "arready", "rvalid", "rdata", "rresp")
BY_OFFSET = {register.offset: register for register in REGISTERS.values()}
CONSTANTS = capability_values(Params(), "1.2.3", "0123456789abcdef" * 4)
ALL = 0xF

Write = tuple[int, int, int]  # address, data, strobes


@cache
def bench(constant: bool = False) -> Clocked:
    return Clocked(CsrBank(CONSTANTS if constant else None))


def names(*accesses: str) -> list[str]:
    return [name for name, register in REGISTERS.items() if register.access in accesses]


OUTPUTS = (
    *(f"s_axil.{name}" for name in BUS),
    *(name.lower() for name in names("rw", "w1c")),
    *(f"{name.lower()}_{part}" for name in names("pulse") for part in ("strobe", "data")),
)


@dataclass
class Model:
    """What the registers must show, cycle by cycle."""

    values: dict[str, int] = field(
        default_factory=lambda: {name: REGISTERS[name].reset or 0 for name in names("rw", "w1c")}
    )
    strobes: dict[str, int] = field(default_factory=dict)  # data of the pulses of this cycle

    def step(self, write: Write | None, sets: dict[str, int]) -> int:
        """Go on by a cycle, in which a write's effect shows, if any, and bits that were to be set; its response."""
        self.strobes = {}
        address, data, strobes = write or (SPACE_BYTES, 0, 0)
        bits = sum(0xFF << 8 * i for i in range(4) if strobes >> i & 1)
        register = BY_OFFSET.get(address & ~3)
        access = register.access if register else "none"
        if register:
            written = bits & register.mask
            if access == "rw":
                self.values[register.name] = self.values[register.name] & ~written | data & written
            elif access == "w1c":
                self.values[register.name] &= ~(data & written)
            elif access == "pulse" and strobes:
                self.strobes[register.name] = data & written
        for name, value in sets.items():
            self.values[name] |= value & REGISTERS[name].mask
        return SLVERR if strobes and access in ("ro", "none") else OKAY

    def check(self, out: dict[str, int]) -> None:
        for name, value in self.values.items():
            assert out[name.lower()] == value, name
        for name in names("pulse"):
            assert out[f"{name.lower()}_strobe"] == (name in self.strobes), name
            if name in self.strobes:
                assert out[f"{name.lower()}_data"] == self.strobes[name], name


def read_value(address: int, row: dict[str, int], out: dict[str, int], constants: dict[str, int]) -> tuple[int, int]:
    """Data and response of a read whose second cycle has these inputs and outputs."""
    register = BY_OFFSET.get(address & ~3)
    if register is None:
        return 0, SLVERR
    if register.name in constants:
        return constants[register.name], OKAY
    if register.access == "pulse":
        return 0, OKAY
    return (row if register.access == "ro" else out)[register.name.lower()], OKAY


def some_address(rng: random.Random) -> int:
    if rng.random() < 0.1:
        return REGISTERS["IRQ_STATUS"].offset
    if rng.random() < 0.8:
        return rng.choice(list(BY_OFFSET)) + rng.randrange(4)
    return rng.choice([rng.randrange(SPACE_BYTES), 0x100 << rng.randrange(4) | rng.choice(list(BY_OFFSET))])


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(("willing", "seed"), [(0.9, 1), (0.5, 2), (0.2, 3)])
def test_random(constant: bool, willing: float, seed: int) -> None:
    """Reads and writes in any rhythm, of any address and bytes, while all that can change does."""
    rng = random.Random(seed)
    constants = CONSTANTS if constant else {}
    writes = [(some_address(rng), rng.getrandbits(32), rng.choice([ALL, rng.randrange(16)])) for _ in range(400)]
    reads = [some_address(rng) for _ in range(400)]
    board = bench(constant)
    seen = {"ok": 0, "error": 0, "kept": 0, "overlap": 0}

    def stimulus() -> Iterator[dict[str, int]]:
        model = Model()
        sent = {"aw": 0, "w": 0, "ar": 0}
        offered = dict.fromkeys(sent, False)
        taken: dict[str, list[int]] = {channel: [] for channel in sent}
        answered, responding, response = 0, False, OKAY
        expected: tuple[int, int] | None = None  # of the read under way
        replied = 0
        sets: dict[str, int] = {}
        cycle = 0
        while answered < len(writes) or replied < len(reads):
            for channel, items in (("aw", writes), ("w", writes), ("ar", reads)):
                offered[channel] |= sent[channel] < len(items) and rng.random() < willing
            row = {name.lower(): rng.getrandbits(32) for name in names("ro") if name not in constants}
            new_sets = {name: rng.getrandbits(32) & rng.getrandbits(32) for name in names("w1c")}
            row |= {f"{name.lower()}_set": value for name, value in new_sets.items()}
            row |= {"s_axil.awprot": rng.randrange(8), "s_axil.arprot": rng.randrange(8)}
            for channel, name, junk in (("aw", "awaddr", 12), ("ar", "araddr", 12), ("w", "wdata", 32)):
                row[f"s_axil.{channel}valid"] = int(offered[channel])
                row[f"s_axil.{name}"] = rng.getrandbits(junk)
            row["s_axil.wstrb"] = rng.getrandbits(4)
            if offered["aw"]:
                row["s_axil.awaddr"] = writes[sent["aw"]][0]
            if offered["w"]:
                _, row["s_axil.wdata"], row["s_axil.wstrb"] = writes[sent["w"]]
            if offered["ar"]:
                row["s_axil.araddr"] = reads[sent["ar"]]
            row |= {f"s_axil.{name}": int(rng.random() < willing) for name in ("bready", "rready")}
            yield row
            out = {name.removeprefix("s_axil."): values[-1] for name, values in board.outputs.items()}

            new = out["bvalid"] and not responding
            if new:
                assert max(taken["aw"][answered], taken["w"][answered]) + CsrBank.write_latency <= cycle
                before = model.values["IRQ_STATUS"]
                response = model.step(writes[answered], sets)
                address, data, strobes = writes[answered]
                if BY_OFFSET.get(address & ~3) is REGISTERS["IRQ_STATUS"]:
                    seen["kept"] += bool(before & data & sets["IRQ_STATUS"] & 0xF and strobes & 1)
            else:
                model.step(None, sets)
            sets = new_sets
            model.check(out)
            if out["bvalid"]:
                assert out["bresp"] == response, writes[answered]
                seen["ok" if response == OKAY else "error"] += 1
            else:
                assert not responding, "a response was withdrawn"
            responding = bool(out["bvalid"] and not row["s_axil.bready"])
            answered += out["bvalid"] and row["s_axil.bready"]

            if taken["ar"] and taken["ar"][-1] == cycle - 1:
                expected = read_value(reads[len(taken["ar"]) - 1], row, out, constants)
            assert out["rvalid"] == (expected is not None and cycle >= taken["ar"][-1] + CsrBank.latency)
            if out["rvalid"]:
                assert (out["rdata"], out["rresp"]) == expected, hex(reads[replied])
                seen["overlap"] += out["bvalid"]
                if row["s_axil.rready"]:
                    replied, expected = replied + 1, None
            for channel in sent:
                if offered[channel] and out[f"{channel}ready"]:
                    taken[channel].append(cycle)
                    sent[channel] += 1
                    offered[channel] = False
            cycle += 1
            assert cycle < 60 * len(writes), "no end"

    board.run(stimulus(), OUTPUTS)
    assert min(seen.values()) > 0, seen


def play(rows: Sequence[dict[str, int]], tail: int = 4) -> dict[str, list[int]]:
    """Run with responses taken at once; rows name the bus's signals without the bus."""
    ready = {"s_axil.bready": 1, "s_axil.rready": 1}
    inputs = CsrBank().s_axil.signature.members
    prefixed = [ready | {f"s_axil.{k}" if k in inputs else k: v for k, v in row.items()} for row in rows]
    return bench().run(prefixed + [ready] * tail, OUTPUTS)


def address_of(name: str) -> dict[str, int]:
    return {"awvalid": 1, "awaddr": REGISTERS[name].offset}


def data_of(value: int, strobes: int = ALL) -> dict[str, int]:
    return {"wvalid": 1, "wdata": value, "wstrb": strobes}


@pytest.mark.parametrize(("address", "data"), [(0, 0), (0, 3), (3, 0)], ids=["together", "address", "data"])
def test_latency_of_writes(address: int, data: int) -> None:
    """Whichever comes first, the effect shows with the response, two cycles after the later one."""
    rows: list[dict[str, int]] = [{} for _ in range(4)]
    rows[address] |= address_of("DOORBELL")
    rows[data] |= data_of(7)
    out = play(rows)
    at = max(address, data) + CsrBank.write_latency
    assert out["s_axil.bvalid"] == [int(cycle == at) for cycle in range(8)]
    assert out["doorbell_strobe"] == out["s_axil.bvalid"]
    assert out["doorbell_data"][at] == 7
    out = play([row | {"awaddr": REGISTERS["IRQ_ENABLE"].offset} for row in rows])
    assert out["irq_enable"] == [7 * (cycle >= at) for cycle in range(8)]


def test_rate_of_writes() -> None:
    """A write every second cycle, the strobes of a pulse apart from each other."""
    rows = [address_of("CONTROL") | data_of(cycle) for cycle in range(1, 8)]
    out = play(rows)
    assert out["s_axil.awready"][:7] == out["s_axil.wready"][:7] == [1, 0] * 3 + [1]
    assert out["control_strobe"] == [0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0]
    assert [out["control_data"][cycle] for cycle in (2, 4, 6, 8)] == [1, 3, 5 & 3, 7 & 3]


def test_latency_and_rate_of_reads() -> None:
    rows = [{"arvalid": 1, "araddr": REGISTERS["PASSES"].offset, "passes": 100 + cycle} for cycle in range(6)]
    out = play(rows, tail=6)
    assert out["s_axil.arready"][:6] == [1, 0, 0, 0, 1, 0]
    assert [cycle for cycle, valid in enumerate(out["s_axil.rvalid"]) if valid] == [
        CsrBank.latency,
        CsrBank.latency + 4,
    ]
    assert [out["s_axil.rdata"][cycle] for cycle in (3, 7)] == [101, 105]


def test_a_response_waits() -> None:
    """While it does, the next write is taken in but does not act."""
    write = address_of("IRQ_ENABLE") | {"bready": 0}
    rows = [write | data_of(1)] * 2 + [{"bready": 0}] + [write | data_of(2)] + [{"bready": 0}] * 4
    out = play(rows)
    assert out["irq_enable"] == [0, 0, *[1] * 7, 2, 2, 2]
    assert out["s_axil.bvalid"] == [0, 0, *[1] * 8, 0, 0]
    assert out["s_axil.awready"][:8] == [1, 0, 1, 1, 0, 0, 0, 0]


def test_interrupts_set_and_cleared_at_once() -> None:
    """A bit that is set in the cycle in which it is cleared stays."""
    rows: list[dict[str, int]] = [{"irq_status_set": 0xFFFFFFFF}, address_of("IRQ_STATUS") | data_of(0b0111)]
    rows += [{"irq_status_set": 0b0001}, {}]
    out = play(rows)
    assert out["irq_status"] == [0, 15, 15, 9, 9, 9, 9, 9]


def test_a_write_without_bytes() -> None:
    """It is well answered everywhere, and rings no bell."""
    for name in ("DOORBELL", "DONE_COUNT", "WINDOW_LAST_LO"):
        out = play([address_of(name) | data_of(0, strobes=0)])
        assert out["s_axil.bvalid"][2] == 1
        assert out["s_axil.bresp"][2] == OKAY
        assert not any(out["doorbell_strobe"])
        assert set(out["window_last_lo"]) == {0xFFFFFFFF}


def test_reset() -> None:
    """It forgets what is under way and what was written."""
    begun = address_of("IRQ_ENABLE") | data_of(5) | {"arvalid": 1}
    rows = [begun, {}, {"rst": 1, "awvalid": 1, "arvalid": 1}, {}]
    out = play(rows, tail=6)
    assert out["irq_enable"] == [0, 0, 5, *[0] * 7]
    assert out["s_axil.bvalid"] == [0, 0, 1, *[0] * 7]
    assert not any(out["s_axil.rvalid"])
    assert out["window_last_hi"][3:] == [0xFFFFFFFF] * 7
    out = play([address_of("IRQ_ENABLE"), {"rst": 1}, data_of(5), {}])
    assert not any(out["s_axil.bvalid"]), "an address from before the reset"


def test_members() -> None:
    """Each register has its ports, but for the constants."""
    ports = {port.name for port in flatten_ports(CsrBank()) if not port.name.startswith("s_axil_")}
    assert ports == (
        {name.lower() for name in names("ro", "rw", "w1c")}
        | {f"{name.lower()}_set" for name in names("w1c")}
        | {f"{name.lower()}_{part}" for name in names("pulse") for part in ("strobe", "data")}
    )
    fewer = {port.name for port in flatten_ports(CsrBank(CONSTANTS)) if not port.name.startswith("s_axil_")}
    assert ports - fewer == {name.lower() for name in CONSTANTS}
    assert CsrBank().unit_key == ()
    assert dict(CsrBank(CONSTANTS).unit_key) == CONSTANTS


@pytest.mark.parametrize(
    ("constants", "text"),
    [
        ({"WINDOW_LAST_LO": 1}, "constant must be a read-only register, not 'WINDOW_LAST_LO'"),
        ({"id": 1}, "constant must be a read-only register, not 'id'"),
        ({"FAULT": 0x1FF}, "FAULT must be within its bits 0xff, not 0x1ff"),
        ({"ID": -1}, "ID must be within its bits 0xffffffff, not -0x1"),
    ],
)
def test_errors(constants: dict[str, int], text: str) -> None:
    with raises_exactly(ValueError, text):
        CsrBank(constants)
