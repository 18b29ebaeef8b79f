"""Is a job fit to run? Reads its descriptor, and gives the fault or the job as the other units want it."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, FORMATS, MX9

from ..job import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_VERSION,
    FIELDS,
    MAX_SEGMENTS,
    MAX_SIZE,
    Data,
    Fault,
    Operand,
    reserved_mask,
)
from ..params import Params
from .layouts import SIZE_BITS, JobLayout

FAULT_BITS = 4
_ADDRESS = 64  # bits of an address in a descriptor
_REGIONS = ("a", "w", "c", "mask", "scale", "bias")
_SHIFT = 4
_BYTE_BITS = 36  # of a row's bytes: 65535 blocks in each of 4 segments, of 18 bytes
_PRODUCT = SIZE_BITS + 32


def bytes_of(blocks: Value, code: Value) -> Value:
    """Bytes of so many blocks of that format: 18 = 16 + 2, 12 = 8 + 4, or 8 each."""
    return Mux(code[1], blocks << 4, blocks << 3) + Mux(code[1], blocks << 1, Mux(code[0], blocks << 2, 0))


class JobCheck(wiring.Component):
    """Check a descriptor, and derive what the units need to know of the job.

    The rules are those of `mixdit_hw.sim.job_model`; of the faults that apply, the one with the lowest code is told.
    The mask's channels are counted elsewhere, when it is read. Sizes, types, formats and alignment are looked at in one
    cycle; then, region by region, the last address is found by shifts and additions.

    Latency: about 25 cycles a region, up to 150, and for MX results a cycle for each head in a row of C.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    words : In(1024)
        The descriptor's 32 words, word 0 in the lowest bits; constant from ``start`` to the end of the job.
    base, last : In(64)
        First and last address of the window.
    start : In(1)
        Check it.
    done : Out(1)
        For one cycle: the check is over, ``fault`` and ``job`` stay until the next start.
    fault : Out(4)
        Code of the fault, 0 where there is none.
    job : Out(JobLayout)
        The job.
    outliers : Out(16)
        Channels that the mask must mark.
    mask : Out(address_bits)
        Address of the mask.
    interrupt : Out(1), tag : Out(32)
        Of the descriptor.
    """

    unit_name = "job_check"

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "words": In(8 * DESCRIPTOR_BYTES),
                "base": In(_ADDRESS),
                "last": In(_ADDRESS),
                "start": In(1),
                "done": Out(1),
                "fault": Out(FAULT_BITS),
                "job": Out(JobLayout(params)),
                "outliers": Out(SIZE_BITS),
                "mask": Out(params.address_bits),
                "interrupt": Out(1),
                "tag": Out(32),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return check_key(self._params)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._m = m
        raw = {name: self.words[32 * word + low :][:bits] for name, (word, low, bits) in FIELDS.items()}
        self._raw = raw
        self._derive(m)
        wrong = {
            Fault.VERSION: self._version(),
            Fault.SIZE: self._size(),
            Fault.FORMAT: self._format(),
            Fault.ALIGNMENT: self._alignment(),
        }
        found = {fault: Signal(name=f"wrong_{fault.name.lower()}") for fault in (*wrong, Fault.WRAP, Fault.WINDOW)}
        code: Value = Const(Fault.NONE, FAULT_BITS)
        for fault, flag in sorted(found.items(), reverse=True):
            code = Mux(flag, int(fault), code)
        m.d.comb += self.fault.eq(code)

        region = Signal(range(len(_REGIONS)))
        address, stride = Signal(_ADDRESS), Signal(32)
        count = Signal(SIZE_BITS)  # rows after the first
        present = Signal()
        size, extent = Signal(_BYTE_BITS), Signal(_PRODUCT)  # bytes of a row, and from the first row to the last
        left, step = Signal(SIZE_BITS), Signal(range(SIZE_BITS))
        self._select(m, region, address, stride, count, present)
        segment = Signal(range(MAX_SEGMENTS))
        end = Signal(_ADDRESS + 1)
        m.d.comb += end.eq(address + extent + size - 1)

        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [flag.eq(wrong.get(fault, 0)) for fault, flag in found.items()]
                m.d.sync += region.eq(0)
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.sync += [size.eq(0), extent.eq(0), step.eq(SIZE_BITS - 1), segment.eq(0)]
                m.next = "NEXT"
                with m.If(Cat(found[fault] for fault in wrong).any()):
                    m.next = "DONE"
                with m.Elif(present):
                    m.next = "ROW"
            with m.State("ROW"):
                self._row_size(m, region, size, segment, left, "MULTIPLY")
            with m.State("HEADS"):  # blocks of C before c_split, head after head
                head = raw["c_head"]
                width = Signal(SIZE_BITS)
                m.d.comb += width.eq(Mux((head != 0) & (head < left), head, left))
                m.d.sync += [size.eq(size + bytes_of(_blocks(width), raw["c_format0"])), left.eq(left - width)]
                with m.If(left == width):
                    m.d.sync += left.eq(raw["n"] - raw["c_split"])
                    m.next = "REST"
            with m.State("REST"):
                m.d.sync += size.eq(size + bytes_of(_blocks(left), raw["c_format1"]))
                m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.sync += [
                    extent.eq((extent << 1) + Mux((count >> step)[0], stride, 0)),
                    step.eq(step - 1),
                ]
                with m.If(step == 0):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                with m.If(end[self._params.address_bits :].any()):
                    m.d.sync += found[Fault.WRAP].eq(1)
                with m.If((address < self.base) | (end > self.last)):
                    m.d.sync += found[Fault.WINDOW].eq(1)
                m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += region.eq(region + 1)
                with m.If(region == len(_REGIONS) - 1):
                    m.next = "DONE"
                with m.Else():
                    m.next = "CHOOSE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _derive(self, m: Module) -> None:
        """The job out of the descriptor's fields; what takes additions comes from registers, a cycle later."""
        raw, job, p = self._raw, self.job, self._params
        total: Value = Const(0, SIZE_BITS)
        for i in range(MAX_SEGMENTS):
            total = (total + raw[f"segment{i}_blocks"])[:SIZE_BITS]
            end = Signal(SIZE_BITS, name=f"end{i}", reset_less=True)
            m.d.sync += end.eq(total)
            m.d.comb += [
                job.ends[i].eq(end),
                job.a_formats[i].eq(raw[f"segment{i}_a"]),
                job.w_formats[i].eq(raw[f"segment{i}_w"]),
            ]
        many = raw["outliers"] > p.most_outliers
        over = (total > p.k_depth) | many
        chunked, short_chunks = Signal(reset_less=True), Signal(reset_less=True)
        group = Signal.like(job.group, reset_less=True)
        m.d.sync += [
            chunked.eq(over),
            short_chunks.eq(many),
            group.eq(Mux(over, 1, Mux(raw["m"] <= p.a_slots * p.tile_rows, p.a_slots, p.a_slots - 1))),
        ]
        same = (
            *("a_type", "w_type", "c_type", "c_head", "scale_mode", "bias_mode", "scale", "bias", "rounding"),
            *("m", "n", "k", "a_address", "w_address", "c_address", "a_stride", "w_stride", "c_stride"),
        )
        m.d.comb += [getattr(job, name).eq(raw[name]) for name in same]
        m.d.comb += [
            job.w_columns.eq(raw["w_columns"]),
            job.outliers.eq(raw["outliers"] != 0),
            job.c_formats[0].eq(raw["c_format0"]),
            job.c_formats[1].eq(raw["c_format1"]),
            job.c_split.eq(raw["c_split"]),
            job.chunked.eq(chunked),
            job.short_chunks.eq(short_chunks),
            job.group.eq(group),
            self.outliers.eq(raw["outliers"]),
            self.mask.eq(raw["mask_address"]),
            self.interrupt.eq(raw["interrupt"]),
            self.tag.eq(raw["tag"]),
        ]

    def _version(self) -> Value:
        reserved = reserved_mask()
        unused = [bit for i, bit in enumerate(self.words) if reserved >> i & 1]
        undefined = _any(self._raw[name] == 3 for name in ("scale_mode", "bias_mode", "rounding"))
        return (self._raw["version"] != DESCRIPTOR_VERSION) | Cat(unused).any() | undefined

    def _size(self) -> Value:
        wrong: Value = Const(0)
        for name in ("m", "n", "k"):
            wrong |= (self._raw[name] == 0) | (self._raw[name] > MAX_SIZE)
        return wrong

    def _format(self) -> Value:
        raw, p = self._raw, self._params
        lacking = [fmt.code for fmt in FORMATS.values() if fmt.name not in p.formats] + [3]

        def bad(code: Value) -> Value:
            return _any(code == c for c in lacking)

        wrong = _any(raw[f"{side}_type"] == 3 for side in ("a", "w", "c"))
        wrong |= (raw["w_type"] == Data.MX) & ~raw["w_columns"]
        total: Value = Const(0, SIZE_BITS)
        k_blocks = Signal(SIZE_BITS)
        self._m.d.comb += k_blocks.eq(_blocks(raw["k"][:SIZE_BITS]))
        border: Value = Const(0)
        for i in range(MAX_SEGMENTS):
            blocks = raw[f"segment{i}_blocks"]
            total = total + blocks
            wrong |= (blocks == 0) if i == 0 else (blocks != 0) & (raw[f"segment{i - 1}_blocks"] == 0)
            wrong |= (blocks != 0) & (bad(raw[f"segment{i}_a"]) | bad(raw[f"segment{i}_w"]))
            if i:
                begins = total - blocks  # blocks before this segment
                wrong |= (
                    (blocks != 0) & (raw["outliers"] != 0) & (begins >= k_blocks) & (raw[f"segment{i}_a"] != MX9.code)
                )
                border |= (blocks != 0) & (begins == k_blocks)
        wrong |= total > MAX_SIZE
        converted = (raw["a_type"] != Data.MX) | (raw["w_type"] != Data.MX)
        wrong |= converted & (total != k_blocks + _blocks(raw["outliers"]))
        has_outliers = raw["outliers"] != 0
        wrong |= has_outliers & ((raw["a_type"] == Data.MX) | (raw["w_type"] != Data.MX) | ~border)
        is_mx = raw["c_type"] == Data.MX
        split = raw["c_split"]
        wrong |= is_mx & (split > raw["n"][:SIZE_BITS])
        wrong |= is_mx & (split != 0) & bad(raw["c_format0"])
        wrong |= is_mx & (split != raw["n"][:SIZE_BITS]) & bad(raw["c_format1"])
        return wrong

    def _alignment(self) -> Value:
        raw = self._raw
        wrong: Value = Const(0)
        for side in ("a", "w", "c"):
            for part in ("address", "stride"):
                low = raw[f"{side}_{part}"]
                wrong |= low[0] | ((raw[f"{side}_type"] == Data.FP32) & low[1])
        wrong |= (raw["outliers"] != 0) & raw["mask_address"][0]
        for name in ("scale", "bias"):
            wrong |= (raw[f"{name}_mode"] == Operand.COLUMN) & raw[name][:2].any()
        return wrong

    def _select(self, m: Module, region, address, stride, count, present) -> None:
        """Of the region at hand: its first address, rows and their stride."""
        raw, job = self._raw, self.job
        rows = {"a": raw["m"], "w": Mux(job.w_columns, raw["n"], raw["k"]), "c": raw["m"]}
        with m.Switch(region):
            for n, name in enumerate(_REGIONS):
                with m.Case(n):
                    if name in rows:
                        m.d.comb += [
                            address.eq(raw[f"{name}_address"]),
                            stride.eq(raw[f"{name}_stride"]),
                            count.eq(rows[name] - 1),
                            present.eq(1),
                        ]
                    elif name == "mask":
                        m.d.comb += [address.eq(raw["mask_address"]), present.eq(raw["outliers"] != 0)]
                    else:
                        m.d.comb += [address.eq(raw[name]), present.eq(raw[f"{name}_mode"] == Operand.COLUMN)]

    def _row_size(self, m: Module, region, size, segment, left, following: str) -> None:
        """Bytes of a row of the region; of MX operands, segment by segment."""
        raw, job = self._raw, self.job
        kinds = {"a": raw["a_type"], "w": raw["w_type"], "c": raw["c_type"]}
        lengths = {"a": raw["k"], "w": Mux(job.w_columns, raw["k"], raw["n"]), "c": raw["n"]}
        with m.Switch(region):
            for n, name in enumerate(_REGIONS):
                with m.Case(n):
                    if name == "mask":
                        m.d.sync += size.eq(_blocks(raw["k"][:SIZE_BITS]) << 1)
                        m.next = following
                    elif name in ("scale", "bias"):
                        m.d.sync += size.eq(raw["n"][:SIZE_BITS] << 2)
                        m.next = following
                    else:
                        length = lengths[name][:SIZE_BITS]
                        with m.If(kinds[name] != Data.MX):
                            m.d.sync += size.eq(Mux(kinds[name] == Data.FP32, length << 2, length << 1))
                            m.next = following
                        if name == "c":
                            with m.Else():
                                m.d.sync += left.eq(raw["c_split"])
                                m.next = "HEADS"
                            continue
                        with m.Else():
                            blocks, code = Signal(SIZE_BITS, name=f"{name}_blocks"), Signal(2, name=f"{name}_code")
                            with m.Switch(segment):
                                for i in range(MAX_SEGMENTS):
                                    with m.Case(i):
                                        m.d.comb += [
                                            blocks.eq(raw[f"segment{i}_blocks"]),
                                            code.eq(raw[f"segment{i}_{name}"]),
                                        ]
                            m.d.sync += [size.eq(size + bytes_of(blocks, code)), segment.eq(segment + 1)]
                            with m.If(segment == MAX_SEGMENTS - 1):
                                m.next = following


def check_key(params: Params) -> tuple:
    """What the check of a design's jobs depends on."""
    return (
        ("address", params.address_bits),
        ("formats", params.formats),
        ("outliers", params.outlier_depth),
        ("k", params.k_depth),
        ("rows", params.tile_rows),
        ("slots", params.a_slots),
    )


def _blocks(count: Value) -> Value:
    """Blocks of 16 of so many elements."""
    return (count + BLOCK_SIZE - 1) >> _SHIFT


def _any(flags) -> Value:
    found: Value = Const(0)
    for flag in flags:
        found = found | flag
    return found
