"""AXI4-Lite: the signals of its five channels."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

DATA_BITS = 32
RESPONSE_OKAY = 0
RESPONSE_SLAVE_ERROR = 2


class AxiLiteSignature(wiring.Signature):
    """An AXI4-Lite interface of 32 data bits, as its master sees it; a slave's member is ``In(AxiLiteSignature(...))``.

    On each channel a transfer happens in a cycle with valid and ready; valid does not wait for ready.

    Parameters
    ----------
    address_bits
        Of awaddr and araddr, 1 to 64.

    Members
    -------
    awaddr, awprot, awvalid, awready
        Address of a write.
    wdata, wstrb, wvalid, wready
        Its data, and which of the four bytes are written.
    bresp, bvalid, bready
        Its response.
    araddr, arprot, arvalid, arready
        Address of a read.
    rdata, rresp, rvalid, rready
        Its data and response.

    Raises
    ------
    ValueError
        ``address_bits`` is out of range.
    """

    def __init__(self, address_bits: int) -> None:
        if not 1 <= address_bits <= 64:
            raise ValueError(f"address_bits must be 1 to 64, not {address_bits}")
        self.address_bits = address_bits
        super().__init__(
            {
                "awaddr": Out(address_bits),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(DATA_BITS),
                "wstrb": Out(DATA_BITS // 8),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(address_bits),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(DATA_BITS),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )
