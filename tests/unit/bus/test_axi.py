"""Names, directions and widths of the bus's signals, and the join of a master's parts."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.bus.axi import AxiSignature, ReadSignature, WriteSignature, connect_part, constant_fields
from mixdit_hw.bus.axil import AxiLiteSignature
from mixdit_hw.ports import flatten_ports
from tests.support.clocked import Clocked

ADDRESS = {"id": 1, "addr": 40, "len": 8, "size": 3, "burst": 2, "cache": 4, "prot": 3, "valid": 1}
READ = {
    **{f"ar{name}": (True, bits) for name, bits in ADDRESS.items()},
    "arready": (False, 1),
    "rid": (False, 1),
    "rdata": (False, 128),
    "rresp": (False, 2),
    "rlast": (False, 1),
    "rvalid": (False, 1),
    "rready": (True, 1),
}
WRITE = {
    **{f"aw{name}": (True, bits) for name, bits in ADDRESS.items()},
    "awready": (False, 1),
    "wdata": (True, 128),
    "wstrb": (True, 16),
    "wlast": (True, 1),
    "wvalid": (True, 1),
    "wready": (False, 1),
    "bid": (False, 1),
    "bresp": (False, 2),
    "bvalid": (False, 1),
    "bready": (True, 1),
}
LITE = {
    "awaddr": (False, 12),
    "awprot": (False, 3),
    "awvalid": (False, 1),
    "awready": (True, 1),
    "wdata": (False, 32),
    "wstrb": (False, 4),
    "wvalid": (False, 1),
    "wready": (True, 1),
    "bresp": (True, 2),
    "bvalid": (True, 1),
    "bready": (False, 1),
    "araddr": (False, 12),
    "arprot": (False, 3),
    "arvalid": (False, 1),
    "arready": (True, 1),
    "rdata": (True, 32),
    "rresp": (True, 2),
    "rvalid": (True, 1),
    "rready": (False, 1),
}


class Held(wiring.Component):
    """A component with a member of a signature."""

    def __init__(self, name: str, member: wiring.Member) -> None:
        super().__init__({name: member})


@pytest.mark.parametrize(
    ("name", "member", "expected"),
    [
        ("m_axi", Out(ReadSignature(40, 128)), READ),
        ("m_axi", Out(WriteSignature(40, 128)), WRITE),
        ("m_axi", Out(AxiSignature(40, 128)), WRITE | READ),
        ("s_axil", In(AxiLiteSignature(12)), LITE),
    ],
)
def test_ports(name, member, expected):
    ports = {port.name: (port.output, port.width) for port in flatten_ports(Held(name, member))}
    assert ports == {f"{name}_{signal}": value for signal, value in expected.items()}


class Joined(wiring.Component):
    """A master of two parts that are constant, or show what comes in."""

    def __init__(self) -> None:
        super().__init__({"m_axi": Out(AxiSignature(40, 64)), "seen": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        read, write = ReadSignature(40, 64).create(), WriteSignature(40, 64).create()
        constant_fields(m, read, "ar", 64)
        constant_fields(m, write, "aw", 64)
        m.d.comb += [read.araddr.eq(3), write.awaddr.eq(4), write.wdata.eq(5), write.bready.eq(1)]
        m.d.comb += [self.seen[:4].eq(read.rdata), self.seen[4:].eq(write.bresp)]
        connect_part(m, self.m_axi, read)
        connect_part(m, self.m_axi, write)
        return m


def test_connect_part():
    expected = {"araddr": 3, "arsize": 3, "arburst": 1, "arcache": 2, "arid": 0, "arprot": 0}
    expected |= {"awaddr": 4, "awsize": 3, "awburst": 1, "awcache": 2, "wdata": 5, "bready": 1, "rready": 0}
    names = {f"m_axi.{name}": value for name, value in expected.items()}
    out = Clocked(Joined()).run([{"m_axi.rdata": 9, "m_axi.bresp": 2}], [*names, "seen"])
    assert out == {name: [value] for name, value in names.items()} | {"seen": [0x29]}
