"""The registers of the accelerator on AXI4-Lite."""

from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import groupby
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..registers import REGISTER_BITS, REGISTERS, SPACE_BYTES, Register
from .axil import RESPONSE_OKAY, RESPONSE_SLAVE_ERROR, AxiLiteSignature

ADDRESS_BITS = exact_log2(SPACE_BYTES)
BYTES = REGISTER_BITS // 8
WORD = exact_log2(BYTES)  # lowest bit of a word's number in an address
GROUP_BYTES = 64  # registers of so much space share a register of the read path


class CsrBank(wiring.Component):
    """The accelerator's registers (docs/registers.md) on AXI4-Lite.

    A write acts where one of its bytes does; the address's lowest two bits do not count. A write to an unknown or
    read-only register, or a read of an unknown one, does nothing and is answered with SLVERR; a write without a byte
    does nothing and is answered with OKAY, since bridges from wider buses make such writes beside the wanted ones.

    Address and data of a write may come in any order. One write and one read are under way at a time.

    Latency of a read: 3 cycles from its address to its data (``latency``), which are those of the cycle after the
    address; both steps of multiplexing end in registers. Latency of a write: 2 cycles (``write_latency``) from the
    later of address and data to its response, in whose first cycle its effect shows: a new value, or a strobe.
    Throughput: a write every 2 cycles, a read every 4.

    Parameters
    ----------
    constants
        Values of read-only registers that never change, by name. They have no member and cost no register of their own.

    Members
    -------
    s_axil : In(AxiLiteSignature(12))
        The bus. The protection bits do not count.
    <name> : In(32)
        For each read-only register but the constants, its name in small letters: what is read.
    <name> : Out(32)
        For each register that is read and written: its value; bits that it does not have are 0.
    <name>_strobe : Out(1), <name>_data : Out(32)
        For each pulse register: it was written, for one cycle, and the data of that cycle, with 0 for bytes that were
        not written and for bits that it does not have.
    <name>_set : In(32), <name> : Out(32)
        For each register whose bits are cleared by ones: bits to set, which show in the next cycle and win over a
        clearing, and its value.

    Raises
    ------
    ValueError
        A constant is no read-only register, or does not fit its bits.
    """

    unit_name = "csr_bank"
    latency = 3
    write_latency = 2

    def __init__(self, constants: Mapping[str, int] | None = None) -> None:
        self._constants = dict(constants or {})
        for name, value in self._constants.items():
            if name not in REGISTERS or REGISTERS[name].access != "ro":
                raise ValueError(f"constant must be a read-only register, not {name!r}")
            if value & ~REGISTERS[name].mask:
                raise ValueError(f"{name} must be within its bits {REGISTERS[name].mask:#x}, not {value:#x}")
        members = {"s_axil": In(AxiLiteSignature(ADDRESS_BITS))}
        for name, register in REGISTERS.items():
            if name not in self._constants:
                members |= _members(register)
        super().__init__(members)

    @property
    def unit_key(self) -> tuple:
        return tuple((name, self._constants[name]) for name in REGISTERS if name in self._constants)

    @property
    def meanings(self) -> dict[str, str]:
        """What each member is, from the registers."""
        found = {}
        for name, register in REGISTERS.items():
            for member in _members(register):
                what = {"_strobe": "It was written: ", "_data": "What was written: ", "_set": "Bits to set: "}
                start = next((text for end, text in what.items() if member[0] == f"{name.lower()}{end}"), "")
                found[member[0]] = f"{start}{name}. {register.meaning}"
        return found

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        bus = self.s_axil
        has_address, has_data = Signal(), Signal()
        word = Signal(ADDRESS_BITS - WORD, reset_less=True)
        data, strobes = Signal(REGISTER_BITS, reset_less=True), Signal(BYTES, reset_less=True)
        now = Signal()
        m.d.comb += [
            bus.awready.eq(~has_address),
            bus.wready.eq(~has_data),
            now.eq(has_address & has_data & (~bus.bvalid | bus.bready)),
        ]
        with m.If(bus.awready):
            m.d.sync += [has_address.eq(bus.awvalid), word.eq(bus.awaddr[WORD:])]
        with m.If(bus.wready):
            m.d.sync += [has_data.eq(bus.wvalid), strobes.eq(bus.wstrb)]
            m.d.sync += data.eq(bus.wdata & _bytes_mask(bus.wstrb))

        mask = _bytes_mask(strobes)
        known = Signal()
        for register in REGISTERS.values():
            if register.access == "ro":
                continue
            name = register.name.lower()
            hit = Signal(name=f"{name}_hit")
            m.d.comb += hit.eq(word == register.offset >> WORD)
            with m.If(hit):
                m.d.comb += known.eq(1)
            if register.access == "pulse":
                # The data stay in their register in the cycle after, in which no others can be taken yet.
                strobe, shown = getattr(self, f"{name}_strobe"), getattr(self, f"{name}_data")
                m.d.sync += strobe.eq(now & hit & strobes.any())
                m.d.comb += shown.eq(data & register.mask)
                continue
            value = getattr(self, name)
            for f in _parts(register):
                old = value[f]
                if register.access == "w1c":
                    cleared = old & ~(data[f] & (now & hit).replicate(len(old)))
                    m.d.sync += old.eq(cleared | getattr(self, f"{name}_set")[f])
                else:
                    with m.If(now & hit):
                        m.d.sync += old.eq((old & ~mask[f]) | data[f])

        with m.If(now):
            m.d.sync += [
                has_address.eq(0),
                has_data.eq(0),
                bus.bvalid.eq(1),
                bus.bresp.eq(Mux(known | ~strobes.any(), RESPONSE_OKAY, RESPONSE_SLAVE_ERROR)),
            ]
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)

    def _read(self, m: Module) -> None:
        """Address, then a register for each group, which is 0 where the address is in another, then their union."""
        bus = self.s_axil
        asked, chosen = Signal(), Signal()
        word = Signal(ADDRESS_BITS - WORD, reset_less=True)
        m.d.comb += bus.arready.eq(~(asked | chosen | bus.rvalid))
        m.d.sync += [asked.eq(bus.arvalid & bus.arready), chosen.eq(asked)]
        with m.If(bus.arready):
            m.d.sync += word.eq(bus.araddr[WORD:])

        groups, known = [], []
        for number, registers in groupby(REGISTERS.values(), lambda register: register.offset // GROUP_BYTES):
            value = Signal(REGISTER_BITS, name=f"group{number}", reset_less=True)
            inside = Signal(name=f"group{number}_known", reset_less=True)
            groups.append(value)
            known.append(inside)
            m.d.sync += [value.eq(0), inside.eq(0)]
            with m.Switch(word):
                for register in registers:
                    with m.Case(register.offset >> WORD):
                        m.d.sync += [value.eq(self._value(register)), inside.eq(1)]
        with m.If(chosen):
            m.d.sync += [
                bus.rvalid.eq(1),
                bus.rdata.eq(reduce(or_, groups)),
                bus.rresp.eq(Mux(Cat(*known).any(), RESPONSE_OKAY, RESPONSE_SLAVE_ERROR)),
            ]
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)

    def _value(self, register: Register) -> Value | int:
        """What is read."""
        if register.access == "pulse":
            return 0
        if register.name in self._constants:
            return self._constants[register.name]
        return getattr(self, register.name.lower())


def _members(register: Register) -> Iterator[tuple[str, wiring.Member]]:
    name = register.name.lower()
    if register.access == "ro":
        yield name, In(REGISTER_BITS)
    elif register.access == "pulse":
        yield f"{name}_strobe", Out(1)
        yield f"{name}_data", Out(REGISTER_BITS)
    else:
        if register.access == "w1c":
            yield f"{name}_set", In(REGISTER_BITS)
        yield name, Out(REGISTER_BITS, init=register.reset)


def _parts(register: Register) -> Iterator[slice]:
    """The bits that a register has, as ranges."""
    for f in register.fields:
        yield slice(f.low, f.low + f.bits)
    if not register.fields:
        yield slice(0, REGISTER_BITS)


def _bytes_mask(strobes: Value) -> Value:
    return Cat(*(strobe.replicate(8) for strobe in strobes))
