"""The accelerator's registers as data: hardware, C header, pages and manifest all come from `REGISTERS`. No hardware.

32-bit registers in 4 KiB, little-endian, on AXI4-Lite.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .params import Params

REGISTER_BITS = 32
SPACE_BYTES = 4096
ACCESSES = {
    "ro": "read-only",
    "rw": "read and write",
    "w1c": "read; a 1 that is written clears the bit",
    "pulse": "write-only: each write acts once; reads as 0",
}
IDENTITY = 0x4D584454  # "MXDT"

_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*\Z")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?!\d)")
_DIGEST_WORDS = 8


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    Parameters
    ----------
    name
        In small letters.
    low, bits
        Lowest bit and number of bits.
    meaning
        What users read, one line.

    Raises
    ------
    ValueError
        The name is none, or the bits are not within the register.
    """

    name: str
    low: int
    bits: int
    meaning: str

    def __post_init__(self) -> None:
        if not _FIELD_NAME.match(self.name):
            raise ValueError(f"name of a field must be of small letters, digits and underscores, not {self.name!r}")
        if self.low < 0 or self.bits < 1 or self.low + self.bits > REGISTER_BITS:
            raise ValueError(
                f"field {self.name} must be within {REGISTER_BITS} bits, not of {self.bits} bits from {self.low} on"
            )

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return ((1 << self.bits) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """A register.

    Parameters
    ----------
    name
        In capital letters.
    offset
        Byte address in the space, a multiple of 4.
    access
        One of `ACCESSES`. A write to a ``pulse`` register is a strobe of one cycle, with the data.
    meaning
        What users read, one line.
    fields
        From the lowest bit up; bits that are in none are 0. Without fields all 32 bits are one value.
    reset
        Value after reset; None where it depends on the design.

    Raises
    ------
    ValueError
        One of them is out of range, or fields share a bit or a name.
    """

    name: str
    offset: int
    access: str
    meaning: str
    fields: tuple[Field, ...] = ()
    reset: int | None = 0

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError(
                f"name of a register must be of capital letters, digits and underscores, not {self.name!r}"
            )
        if self.offset % (REGISTER_BITS // 8) or not 0 <= self.offset < SPACE_BYTES:
            raise ValueError(
                f"offset of {self.name} must be a multiple of 4 from 0 to {SPACE_BYTES - 4:#x}, not {self.offset:#x}"
            )
        if self.access not in ACCESSES:
            raise ValueError(f"access of {self.name} must be one of {', '.join(ACCESSES)}, not {self.access!r}")
        used = 0
        for f in self.fields:
            if f.mask & used or f.mask < used:
                raise ValueError(f"fields of {self.name} must go up without sharing bits, but {f.name} does not")
            used |= f.mask
        if len({f.name for f in self.fields}) < len(self.fields):
            raise ValueError(f"fields of {self.name} must have names of their own")
        if self.reset is not None and self.reset & ~self.mask:
            raise ValueError(f"reset of {self.name} must be within its bits {self.mask:#x}, not {self.reset:#x}")

    @property
    def mask(self) -> int:
        """The bits that it has."""
        return sum(f.mask for f in self.fields) if self.fields else (1 << REGISTER_BITS) - 1

    def pack(self, **values: int) -> int:
        """A value from those of its fields; fields that are not named are 0.

        Raises
        ------
        ValueError
            There is no such field, or a value does not fit it.
        """
        fields = {f.name: f for f in self.fields}
        whole = 0
        for name, value in values.items():
            if name not in fields:
                raise ValueError(f"field of {self.name} must be one of {', '.join(fields)}, not {name!r}")
            if not 0 <= value < 1 << fields[name].bits:
                raise ValueError(f"{self.name}.{name} must fit {fields[name].bits} bits, not be {value}")
            whole |= value << fields[name].low
        return whole

    def unpack(self, value: int) -> dict[str, int]:
        """The values of its fields."""
        return {f.name: (value & f.mask) >> f.low for f in self.fields}


def register_map(*registers: Register) -> Mapping[str, Register]:
    """Registers by name, in the order of their offsets.

    Raises
    ------
    ValueError
        Two have the same name or offset, or an offset is below the one before it.
    """
    found: dict[str, Register] = {}
    last: Register | None = None
    for register in registers:
        if register.name in found:
            raise ValueError(f"registers must have names of their own, not two times {register.name}")
        if last is not None and register.offset <= last.offset:
            raise ValueError(
                f"offset of {register.name} must be above {last.offset:#x} of {last.name}, not {register.offset:#x}"
            )
        found[register.name] = last = register
    return MappingProxyType(found)


_INTERRUPTS = (
    Field("job", 0, 1, "A job whose descriptor has the interrupt bit ended well."),
    Field("empty", 1, 1, "The last job ended, and no other waits."),
    Field("fault", 2, 1, "A job stopped with a fault; FAULT says which."),
    Field("dropped", 3, 1, "The doorbell rang while the queue was full; that job was not queued."),
)
_LAST_JOB = "Of the job that ended last:"

REGISTERS = register_map(
    Register("ID", 0x000, "ro", "Says that this is the accelerator: MXDT in ASCII.", reset=IDENTITY),
    Register(
        "VERSION",
        0x004,
        "ro",
        "Version of the generator.",
        (
            Field("patch", 0, 8, "Third number."),
            Field("minor", 8, 8, "Second number."),
            Field("major", 16, 16, "First number."),
        ),
        reset=None,
    ),
    Register(
        "CAP_ARRAY",
        0x008,
        "ro",
        "Size of the array.",
        (
            Field("rows", 0, 8, "Rows R of engines."),
            Field("columns", 8, 8, "Columns C of engines."),
            Field("interleave", 16, 8, "Outputs T of each engine; a tile is R*T rows by C columns."),
            Field("drain", 24, 8, "Rows of a result beat."),
        ),
        reset=None,
    ),
    Register(
        "CAP_BUS",
        0x00C,
        "ro",
        "The memory bus, the queue, and what jobs may ask for.",
        (
            Field("axi_bytes", 0, 8, "Bytes of the data bus."),
            Field("address_bits", 8, 8, "Bits of its addresses."),
            Field("queue_depth", 16, 8, "Jobs that can wait."),
            Field("formats", 24, 3, "Formats that the engines multiply: bit 0 is MX4, bit 1 MX6, bit 2 MX9."),
            Field("runtime_rounding", 27, 1, "A job chooses its rounding."),
        ),
        reset=None,
    ),
    Register(
        "CAP_BUFFERS",
        0x010,
        "ro",
        "Buffers of the operands, and width of the output.",
        (
            Field(
                "k_depth",
                0,
                16,
                "K blocks of a slot; with more, operands are read again for each tile, A with outliers for each chunk.",
            ),
            Field("a_slots", 16, 4, "Slots of A: panels of R*T rows that can be on chip."),
            Field("store_lanes", 20, 5, "Results per cycle through scale, bias and store."),
        ),
        reset=None,
    ),
    Register(
        "CAP_OUTLIERS",
        0x014,
        "ro",
        "Outlier channels of a job that go in one pass; with more, A is read for every chunk of every tile. 0: no MX9.",
        reset=None,
    ),
    *(
        Register(
            f"DIGEST{i}",
            0x020 + 4 * i,
            "ro",
            f"Bytes {4 * i} to {4 * i + 3} of the SHA-256 digest of the numerics, the first in the lowest bits.",
            reset=None,
        )
        for i in range(_DIGEST_WORDS)
    ),
    Register(
        "CONTROL",
        0x040,
        "pulse",
        "Stops jobs.",
        (
            Field("abort", 0, 1, "Stop the running job: it ends with the fault ABORT. Nothing where none runs."),
            Field("flush", 1, 1, "Drop the jobs that wait. The running one goes on."),
        ),
    ),
    Register(
        "STATUS",
        0x044,
        "ro",
        "What the accelerator does now.",
        (
            Field("busy", 0, 1, "A job runs."),
            Field("halted", 1, 1, "A fault waits to be acknowledged by FAULT_CLEAR; no job is started until then."),
            Field("waiting", 8, 8, "Jobs in the queue, without the running one."),
        ),
    ),
    Register(
        "JOB_ADDRESS_LO",
        0x048,
        "rw",
        "Address of the descriptor that the next write to DOORBELL queues, a multiple of 4: bits 31 to 0.",
    ),
    Register("JOB_ADDRESS_HI", 0x04C, "rw", "Address of that descriptor: bits 63 to 32."),
    Register(
        "DOORBELL",
        0x050,
        "pulse",
        "Any write queues the job whose descriptor is at JOB_ADDRESS. With the queue full it is dropped, and "
        "IRQ_STATUS.dropped set. The descriptor must stay as it is until the job has ended.",
    ),
    Register("DONE_COUNT", 0x054, "ro", "Jobs that ended well, modulo 2^32."),
    Register("FAULT_COUNT", 0x058, "ro", "Jobs that stopped with a fault, modulo 2^32."),
    Register("JOB_TAG", 0x05C, "ro", "Tag of the job that ended last."),
    Register(
        "IRQ_STATUS",
        0x060,
        "w1c",
        "Causes of the interrupt since they were cleared. An event in the cycle of its clearing is kept.",
        _INTERRUPTS,
    ),
    Register(
        "IRQ_ENABLE",
        0x064,
        "rw",
        "The interrupt line is high while a cause is set here and in IRQ_STATUS.",
        _INTERRUPTS,
    ),
    Register(
        "FAULT",
        0x068,
        "ro",
        "The fault that waits to be acknowledged.",
        (Field("code", 0, 8, "Its code; 0 where none waits."),),
    ),
    Register(
        "FAULT_TAG", 0x06C, "ro", "Tag of the job that stopped with that fault; 0 where its descriptor was not read."
    ),
    Register("FAULT_CLEAR", 0x070, "pulse", "Any write acknowledges the fault; the next job in the queue starts."),
    Register(
        "WINDOW_BASE_LO",
        0x080,
        "rw",
        "First address that jobs may touch, their descriptors included: bits 31 to 0. To be changed while no job runs.",
    ),
    Register("WINDOW_BASE_HI", 0x084, "rw", "First address that jobs may touch: bits 63 to 32."),
    Register(
        "WINDOW_LAST_LO",
        0x088,
        "rw",
        "Last byte address that jobs may touch: bits 31 to 0. To be changed while no job runs.",
        reset=0xFFFFFFFF,
    ),
    Register("WINDOW_LAST_HI", 0x08C, "rw", "Last byte address that jobs may touch: bits 63 to 32.", reset=0xFFFFFFFF),
    Register("JOB_CYCLES", 0x0C0, "ro", f"{_LAST_JOB} cycles from the start of its descriptor's fetch to its end."),
    Register("CYCLES", 0x0C4, "ro", f"{_LAST_JOB} cycles of the array from the first digit pass to the last result."),
    Register("PASSES", 0x0C8, "ro", f"{_LAST_JOB} digit passes of the array, of T cycles each."),
    Register("WAIT_A", 0x0CC, "ro", f"{_LAST_JOB} steps of T cycles in which the array waited for A."),
    Register("WAIT_W", 0x0D0, "ro", f"{_LAST_JOB} steps in which it waited for W."),
    Register("WAIT_RESULT", 0x0D4, "ro", f"{_LAST_JOB} steps in which it waited for room for its results."),
    Register("WAIT_DRAIN", 0x0D8, "ro", f"{_LAST_JOB} steps in which it waited for the results before to leave it."),
    Register("READ_BEATS", 0x0DC, "ro", f"{_LAST_JOB} beats read from memory."),
    Register("READ_WAIT", 0x0E0, "ro", f"{_LAST_JOB} cycles in which reads were under way and no beat came."),
    Register("WRITE_BEATS", 0x0E4, "ro", f"{_LAST_JOB} beats written to memory."),
    Register("WRITE_WAIT", 0x0E8, "ro", f"{_LAST_JOB} cycles in which writes were under way and no beat was taken."),
)


def capability_values(params: Params, version: str, digest: str) -> dict[str, int]:
    """Values of the registers that never change in a design, by name.

    Parameters
    ----------
    params
        The design.
    version
        Of the package: three numbers with points between, and perhaps more behind.
    digest
        SHA-256 of the numerics, 64 hex digits.

    Raises
    ------
    ValueError
        The version or the digest is none.
    """
    return {
        "ID": IDENTITY,
        "VERSION": version_word(version),
        "CAP_ARRAY": REGISTERS["CAP_ARRAY"].pack(
            rows=params.rows, columns=params.columns, interleave=params.interleave, drain=params.drain
        ),
        "CAP_BUS": REGISTERS["CAP_BUS"].pack(
            axi_bytes=params.axi_width // 8,
            address_bits=params.address_bits,
            queue_depth=params.queue_depth,
            formats=sum(1 << f.code for f in params.format_set),
            runtime_rounding=int(params.rounding == "runtime"),
        ),
        "CAP_BUFFERS": REGISTERS["CAP_BUFFERS"].pack(
            k_depth=params.k_depth, a_slots=params.a_slots, store_lanes=params.store_lanes
        ),
        "CAP_OUTLIERS": params.most_outliers,
        **{f"DIGEST{i}": word for i, word in enumerate(_digest_words(digest))},
    }


def version_word(version: str) -> int:
    """The value of VERSION; ValueError where the package's version does not begin with three numbers."""
    numbers = _VERSION.match(version)
    if numbers is None:
        raise ValueError(f"version must begin with three numbers, not be {version!r}")
    major, minor, patch = map(int, numbers.groups())
    return REGISTERS["VERSION"].pack(major=major, minor=minor, patch=patch)


def _digest_words(digest: str) -> list[int]:
    if not re.fullmatch(f"[0-9a-f]{{{8 * _DIGEST_WORDS}}}", digest):
        raise ValueError(f"digest must be {8 * _DIGEST_WORDS} small hex digits, not {digest!r}")
    data = bytes.fromhex(digest)
    return [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(_DIGEST_WORDS)]
