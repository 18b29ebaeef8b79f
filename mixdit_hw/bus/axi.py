"""Signals of AXI4, with the names of the specification; those of AXI4-Lite are in `axil.py`.

A member ``m_axi`` of `AxiSignature` has the ports ``m_axi_araddr``, ``m_axi_arvalid`` and so on. Only what the
accelerator uses is there: one identifier, full-width INCR bursts, no locks, regions, users or quality of service.
"""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

ID_BITS = 1
MAX_BEATS = 256  # of a burst
PAGE_BYTES = 4096  # that no burst crosses
BURST_INCR = 1
CACHE_NORMAL = 0b0010  # normal memory, not cached, not bufferable: a response means that the write has arrived
PROT_DATA = 0b000  # unprivileged, secure, data


class ReadSignature(wiring.Signature):
    """Read channels of an AXI4 master.

    Parameters
    ----------
    address_bits, data_bits
        Of ``araddr`` and ``rdata``.
    """

    def __init__(self, address_bits: int, data_bits: int) -> None:
        super().__init__(
            _address_channel("ar", address_bits)
            | {
                "rid": In(ID_BITS),
                "rdata": In(data_bits),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class WriteSignature(wiring.Signature):
    """Write channels of an AXI4 master.

    Parameters
    ----------
    address_bits, data_bits
        Of ``awaddr`` and ``wdata``.
    """

    def __init__(self, address_bits: int, data_bits: int) -> None:
        super().__init__(
            _address_channel("aw", address_bits)
            | {
                "wdata": Out(data_bits),
                "wstrb": Out(data_bits // 8),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(ID_BITS),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )


class AxiSignature(wiring.Signature):
    """All channels of an AXI4 master: those of `WriteSignature` and of `ReadSignature`.

    Parameters
    ----------
    address_bits, data_bits
        Of addresses and data.
    """

    def __init__(self, address_bits: int, data_bits: int) -> None:
        parts = WriteSignature(address_bits, data_bits), ReadSignature(address_bits, data_bits)
        super().__init__({name: member for part in parts for name, member in part.members.items()})


def connect_part(m: Module, whole: Any, part: Any) -> None:
    """Connect a master's read or write part to the port of a parent that has both.

    Parameters
    ----------
    m
        Of the parent.
    whole
        The parent's own member, of `AxiSignature`.
    part
        The child's member, of `ReadSignature` or `WriteSignature`.
    """
    for name, member in part.signature.members.items():
        outer, inner = getattr(whole, name), getattr(part, name)
        m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)


def constant_fields(m: Module, axi: Any, channel: str, data_bits: int) -> None:
    """Drive what never changes on an address channel, ``ar`` or ``aw``."""
    fields = {
        "id": 0,
        "size": (data_bits // 8).bit_length() - 1,
        "burst": BURST_INCR,
        "cache": CACHE_NORMAL,
        "prot": PROT_DATA,
    }
    m.d.comb += [getattr(axi, f"{channel}{name}").eq(value) for name, value in fields.items()]


def _address_channel(prefix: str, address_bits: int) -> dict[str, Any]:
    fields = {"id": ID_BITS, "addr": address_bits, "len": 8, "size": 3, "burst": 2, "cache": 4, "prot": 3, "valid": 1}
    return {f"{prefix}{name}": Out(bits) for name, bits in fields.items()} | {f"{prefix}ready": In(1)}
