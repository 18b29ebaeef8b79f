"""The read channels of the bus, shared by several clients."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..params import Params
from ..unit import add_unit
from .axi import ReadSignature, constant_fields
from .layouts import BurstLayout
from .queue import StreamQueue


class ReadArbiter(wiring.Component):
    """Put the read bursts of several clients on the bus, in turn, and hand each its data.

    All bursts have one identifier, so data come in the order of the bursts; a queue keeps whose they are. Clients take
    their data at once, so ``rready`` is always high. As many bursts as ``read_depth`` can be under way.

    Latency: one cycle from a burst's acceptance to ``arvalid``, and one from a beat to its client (``latency``).
    Throughput: one burst and one beat per cycle.

    Parameters
    ----------
    params
        Of the design: axi_width, address_bits and read_depth count here.
    clients
        How many, at least 1.

    Members
    -------
    ar : In(stream of BurstLayout), one for each client
        Bursts that clients ask for.
    r_valid : Out(1), one for each client
        ``r_data`` is that client's.
    r_data : Out
        A beat.
    axi : Out(ReadSignature)
        The bus.
    halt : In(1)
        Offer no new bursts on the bus; one that is offered stays until it is taken.
    idle : Out(1)
        No burst is offered or under way.
    error : Out(2)
        The first response that was an error: 2 = SLVERR, 3 = DECERR; 0 = none. Stays until reset.
    beat : Out(1)
        A beat came.
    wait : Out(1)
        Bursts are offered or under way, and no beat came.

    Raises
    ------
    ValueError
        There is no client.
    """

    unit_name = "read_arbiter"
    latency = 1

    def __init__(self, params: Params, clients: int) -> None:
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients}")
        self._params = params
        self._clients = clients
        super().__init__(
            {
                "ar": In(stream.Signature(BurstLayout(params))).array(clients),
                "r_valid": Out(1).array(clients),
                "r_data": Out(params.axi_width),
                "axi": Out(ReadSignature(params.address_bits, params.axi_width)),
                "halt": In(1),
                "idle": Out(1),
                "error": Out(2),
                "beat": Out(1),
                "wait": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return (
            ("clients", self._clients),
            ("width", p.axi_width),
            ("address", p.address_bits),
            ("depth", p.read_depth),
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        p, axi = self._params, self.axi
        order = StreamQueue(range(self._clients), p.read_depth) if self._clients > 1 else None
        under_way = Signal(range(p.read_depth + 1))
        requests, grant, chosen = Signal(self._clients), Signal(self._clients), Signal(range(self._clients))
        free, take, done = Signal(), Signal(), Signal()
        constant_fields(m, axi, "ar", p.axi_width)
        m.d.comb += [
            axi.rready.eq(1),
            requests.eq(Cat(ar.valid for ar in self.ar)),
            free.eq((~axi.arvalid | axi.arready) & (under_way != p.read_depth) & ~self.halt),
            take.eq(free & requests.any()),
            done.eq(axi.rvalid & axi.rlast),
            self.idle.eq(under_way == 0),
            self.beat.eq(axi.rvalid),
            self.wait.eq(~self.idle & ~axi.rvalid),
        ]
        m.d.sync += under_way.eq(under_way + take - done)

        # The lowest request above the client that had the last turn, or else the lowest of all.
        above = Signal(self._clients)
        later = Signal(self._clients)
        m.d.comb += [later.eq(requests & above), grant.eq(Mux(later.any(), later & -later, requests & -requests))]
        with m.If(take):
            m.d.sync += above.eq(~(grant | (grant - 1)))
        m.d.comb += [ar.ready.eq(free & grant[k]) for k, ar in enumerate(self.ar)]
        m.d.comb += chosen.eq(_select(grant, [Const(k, len(chosen)) for k in range(self._clients)]))

        address, beats = Signal.like(axi.araddr, reset_less=True), Signal.like(axi.arlen, reset_less=True)
        m.d.comb += [axi.araddr.eq(address), axi.arlen.eq(beats)]
        with m.If(~axi.arvalid | axi.arready):
            m.d.sync += [
                axi.arvalid.eq(take),
                address.eq(_select(grant, [ar.payload.address for ar in self.ar])),
                beats.eq(_select(grant, [ar.payload.beats for ar in self.ar])),
            ]

        owner: Value = Const(0, 1)
        if order is not None:
            add_unit(m, platform, "order", order)
            m.d.comb += [order.i.valid.eq(take), order.i.payload.eq(chosen), order.o.ready.eq(done)]
            owner = order.o.payload
        data = Signal(p.axi_width, reset_less=True)
        m.d.sync += data.eq(axi.rdata)
        m.d.comb += self.r_data.eq(data)
        m.d.sync += [valid.eq(axi.rvalid & (owner == k)) for k, valid in enumerate(self.r_valid)]
        with m.If(axi.rvalid & axi.rresp[1] & (self.error == 0)):
            m.d.sync += self.error.eq(axi.rresp)
        return m


def _select(one_hot: Value, values: list[Any]) -> Value:
    """The value at the bit that is set."""
    result: Value = Const(0, len(Value.cast(values[0])))
    for bit, value in zip(one_hot, values, strict=True):
        result = result | Mux(bit, Value.cast(value), 0)
    return result
