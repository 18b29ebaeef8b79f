"""The signals of AXI4-Lite."""

import pytest
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.bus.axil import AxiLiteSignature
from mixdit_hw.ports import flatten_ports
from tests.support.errors import raises_exactly


class Pair(wiring.Component):
    """A slave and a master."""

    def __init__(self) -> None:
        super().__init__({"s_axil": In(AxiLiteSignature(12)), "m_axil": Out(AxiLiteSignature(32))})


def test_ports() -> None:
    ports = {port.name: (port.width, port.output) for port in flatten_ports(Pair())}
    widths = {"awaddr": 12, "awprot": 3, "wdata": 32, "wstrb": 4, "bresp": 2, "araddr": 12, "arprot": 3}
    widths |= {"rdata": 32, "rresp": 2}
    of_slave = {"awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid"}
    for channel in ("aw", "w", "b", "ar", "r"):
        widths |= {f"{channel}valid": 1, f"{channel}ready": 1}
    for name, width in widths.items():
        assert ports.pop(f"s_axil_{name}") == (width, name in of_slave)
        assert ports.pop(f"m_axil_{name}") == (32 if name.endswith("addr") else width, name not in of_slave)
    assert not ports


@pytest.mark.parametrize("bits", [0, 65])
def test_address_bits(bits: int) -> None:
    with raises_exactly(ValueError, f"address_bits must be 1 to 64, not {bits}"):
        AxiLiteSignature(bits)
