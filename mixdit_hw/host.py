"""The host's side of the accelerator: its registers, memory, jobs and results, over any way to reach them.

    arena = Arena(transport, base, size)                          # memory that the host gives out
    accelerator = Accelerator(transport, arena)                   # checks ID, version and numerics
    a, w = arena.store(x), arena.store_mx(weights)                # float32 (M, K), MXTensor (K, N)
    c = arena.result(m, n, Data.BF16)                             # room for C (M, N)
    accelerator.run(gemm_job(a, w, c, a_format="mx6"))            # or submit() and wait()
    words = arena.load(c)                                         # BF16 words (M, N)

Under a policy of precisions, a layer of that name::

    w = arena.store_weight(policy, name, weights)                 # float32 (K, N), packed as the policy has it
    mask = arena.store_channels(policy, name, k)
    accelerator.run(policy_job(policy, name, a, w, c, mask_address=mask))

Nothing here is specific to a simulator: what reaches registers and memory is a `Transport`.
"""

import operator
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import groupby
from numbers import Real
from typing import Any, Protocol

import numpy as np

import golden
from golden import MXTensor
from golden.dit import HEAD_PRODUCT
from golden.formats import BLOCK_SIZE, FORMATS, MX9, get_format
from golden.policy import PrecisionPolicy

from .emit.contract import numerics_digest
from .errors import DeviceError, JobFault
from .footprint import result_runs
from .job import DESCRIPTOR_BYTES, MAX_SEGMENTS, MAX_SIZE, Data, Fault, Job, Operand, Segment, blocks_of
from .params import ROUNDINGS
from .registers import IDENTITY, REGISTERS, version_word

ALIGNMENT = 64  # bytes, of all that an arena gives out

# Byte offsets of the registers, and of the counters of the job that ended last.
OFFSETS = {name: register.offset for name, register in REGISTERS.items()}
COUNTERS = {
    name: OFFSETS[name.upper()]
    for name in (
        *("job_cycles", "cycles", "passes", "wait_a", "wait_w", "wait_result", "wait_drain"),
        *("read_beats", "read_wait", "write_beats", "write_wait"),
    )
}
ABORT, FLUSH = (REGISTERS["CONTROL"].pack(**{name: 1}) for name in ("abort", "flush"))
IRQ_JOB, IRQ_EMPTY, IRQ_FAULT, IRQ_DROPPED = (
    REGISTERS["IRQ_STATUS"].pack(**{name: 1}) for name in ("job", "empty", "fault", "dropped")
)
BUSY, HALTED = (REGISTERS["STATUS"].pack(**{name: 1}) for name in ("busy", "halted"))
_RECOVERY_S = 10.0
_POLL_S = 0.5  # longest wait for an interrupt without a look at the registers


class MemoryPort(Protocol):
    """Memory that the accelerator sees too.

    What was written must be visible to the accelerator before any later write to a register takes effect, and what it
    had written before a register was read must be what is read here: caches and barriers are a transport's business.
    """

    def read_memory(self, address: int, count: int) -> bytes:
        """``count`` bytes from a byte address on."""
        ...

    def write_memory(self, address: int, data: bytes) -> None:
        """Write bytes from a byte address on."""
        ...


class Transport(MemoryPort, Protocol):
    """A way to reach an accelerator."""

    def read32(self, offset: int) -> int:
        """The register at a byte offset, a multiple of 4."""
        ...

    def write32(self, offset: int, value: int) -> None:
        """Write the register at a byte offset, a multiple of 4."""
        ...

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait until the interrupt line is high, for so many seconds at most; whether it is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a design says of itself.

    Parameters
    ----------
    rows, columns, interleave, drain
        As `Params` has them.
    axi_bytes, address_bits
        Of the memory bus.
    queue_depth
        Jobs that can wait.
    formats
        Names, widest first.
    runtime_rounding
        Jobs choose their rounding.
    k_depth, a_slots, store_lanes
        As `Params` has them.
    outliers
        Outlier channels of a job that go in one pass; 0 where the design has no MX9, and so no outliers.
    """

    rows: int
    columns: int
    interleave: int
    drain: int
    axi_bytes: int
    address_bits: int
    queue_depth: int
    formats: tuple[str, ...]
    runtime_rounding: bool
    k_depth: int
    a_slots: int
    store_lanes: int
    outliers: int


class Accelerator:
    """A driver of one accelerator, for one thread.

    Parameters
    ----------
    transport
        Reaches it.
    descriptors
        Address of memory for ``queue_depth + 2`` descriptors of 128 bytes each, a multiple of 64; or the arena to take
        it from.
    clock
        Seconds that have passed, for timeouts.
    recover
        Stop what an earlier driver has left running, drop what it has left waiting, and acknowledge its fault.

    Raises
    ------
    DeviceError
        ID, version or numerics are not those of this package; or the accelerator is at work or halted, and is not to
        recover, or does not within 10 seconds. The text says which.
    ValueError
        The address is no multiple of 64.
    """

    def __init__(
        self,
        transport: Transport,
        descriptors: "int | Arena",
        *,
        clock: Callable[[], float] = time.monotonic,
        recover: bool = False,
    ) -> None:
        if not isinstance(descriptors, Arena):
            descriptors = operator.index(descriptors)
            if descriptors % ALIGNMENT:
                raise ValueError(f"descriptors must be at a multiple of {ALIGNMENT}, not at {descriptors:#x}")
        self._transport = transport
        self._clock = clock
        self._check("ID", IDENTITY)
        self._check("VERSION", version_word(version("mixdit-hw")))
        digest = b"".join(struct.pack("<I", self._read(f"DIGEST{i}")) for i in range(8)).hex()
        if digest != numerics_digest():
            raise DeviceError(f"the accelerator's numerics must be {numerics_digest()[:16]}..., not {digest[:16]}...")
        self.capabilities = self._read_capabilities()
        if recover:
            self._recover()
        self._require_idle()
        slots = self.capabilities.queue_depth + 2  # those that wait, the one that runs, and the one that is written
        if isinstance(descriptors, Arena):
            descriptors = descriptors.allocate(slots * DESCRIPTOR_BYTES)
        self._slots = deque(descriptors + i * DESCRIPTOR_BYTES for i in range(slots))
        self._done = self._read("DONE_COUNT")
        self._submitted = 0
        self._write("IRQ_ENABLE", IRQ_JOB | IRQ_EMPTY | IRQ_FAULT | IRQ_DROPPED)

    def _recover(self) -> None:
        deadline = self._clock() + _RECOVERY_S
        while self._read("STATUS") & (BUSY | HALTED):
            # An abort between two jobs does nothing, so it is repeated.
            self._write("CONTROL", ABORT | FLUSH)
            self._write("FAULT_CLEAR", 1)
            if self._clock() > deadline:
                return
        self._clear_interrupts()

    def _require_idle(self) -> None:
        status = self._read("STATUS")
        if status & (BUSY | HALTED):
            raise DeviceError(f"the accelerator must be idle, not {'halted' if status & HALTED else 'at work'}")

    def set_window(self, base: int, last: int) -> None:
        """Let jobs touch only the bytes from ``base`` to ``last``, that one included.

        Raises
        ------
        DeviceError
            The accelerator is not idle.
        """
        self._require_idle()
        for name, value in (("WINDOW_BASE", base), ("WINDOW_LAST", last)):
            self._write(f"{name}_LO", value & 0xFFFFFFFF)
            self._write(f"{name}_HI", value >> 32)

    def submit(self, job: Job, timeout: float = 60.0) -> None:
        """Queue a job, after a wait of at most so many seconds for room.

        The job may begin at once and in any case before `wait` returns; its operands must be in memory.

        Raises
        ------
        ValueError
            A field of the job does not fit its bits.
        JobFault
            An earlier job stopped with a fault; this one is not queued.
        DeviceError
            There was no room in time.
        """
        descriptor = job.pack()
        self._wait_for_room(timeout)
        address = self._slots[0]
        self._slots.rotate(-1)
        self._transport.write_memory(address, descriptor)
        self._ring(address)

    def submit_at(self, address: int, timeout: float = 60.0) -> None:
        """Queue the job whose descriptor is at an address, where it must stay until the job is done; as `submit`."""
        self._wait_for_room(timeout)
        self._ring(address)

    def _wait_for_room(self, timeout: float) -> None:
        deadline = self._clock() + timeout
        while (waiting := self._waiting()) >= self.capabilities.queue_depth:
            self._clear_interrupts()
            if self._waiting() == waiting:
                self._wait_interrupt(deadline, f"no room for a job: {waiting} are waiting")

    def _ring(self, address: int) -> None:
        self._write("JOB_ADDRESS_LO", address & 0xFFFFFFFF)
        self._write("JOB_ADDRESS_HI", address >> 32)
        self._write("DOORBELL", 1)
        self._submitted += 1

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until all submitted jobs are done, for at most so many seconds in all.

        Raises
        ------
        JobFault
            One stopped with a fault. Those behind it wait on, until `clear_fault`.
        DeviceError
            They were not done in time. They still run, and use their memory: abort them before that is used otherwise.
        """
        deadline = self._clock() + timeout
        while True:
            self._clear_interrupts()
            self._waiting()
            done = self.done
            if done >= self._submitted:
                self._done, self._submitted = self._done + done & 0xFFFFFFFF, 0
                return
            self._wait_interrupt(deadline, f"{done} of {self._submitted} jobs are done")

    @property
    def done(self) -> int:
        """Jobs that are done of those submitted since the last `wait` that returned."""
        return self._read("DONE_COUNT") - self._done & 0xFFFFFFFF

    def run(self, job: Job, timeout: float = 60.0) -> dict[str, int]:
        """Submit a job and wait for all; its counters. Raises what `submit` and `wait` raise.

        A job of more outlier channels than ``capabilities.outliers`` can last for minutes, longer than the default of
        ``timeout``; its counters are modulo 2^32.
        """
        self.submit(job, timeout)
        self.wait(timeout)
        return self.counters()

    def counters(self) -> dict[str, int]:
        """Cycles and beats of the last job, by the names of `COUNTERS`."""
        return {name: self._transport.read32(offset) for name, offset in COUNTERS.items()}

    def clear_fault(self, *, drop: bool = True) -> None:
        """Go on after a fault: with the jobs that still wait, or, with ``drop``, without them.

        Raises
        ------
        DeviceError
            There is no fault, or not yet.
        """
        if not self._read("STATUS") & HALTED:
            raise DeviceError("the accelerator must be halted by a fault to go on from it")
        if drop:
            self._write("CONTROL", FLUSH)
        # Nothing runs while the accelerator is halted, so that these do not change.
        self._done, self._submitted = self._read("DONE_COUNT"), self._read("STATUS") >> 8 & 0xFF
        self._write("FAULT_CLEAR", 1)

    def abort(self) -> None:
        """Stop the job that runs, with the fault ABORT, which `wait` raises.

        Nothing happens where none runs, also in the few cycles between two jobs.
        """
        self._write("CONTROL", ABORT)

    def _read_capabilities(self) -> Capabilities:
        found: dict[str, int] = {}
        for name in ("CAP_ARRAY", "CAP_BUS", "CAP_BUFFERS"):
            found |= REGISTERS[name].unpack(self._read(name))
        formats = found.pop("formats")
        return Capabilities(
            formats=tuple(f.name for f in FORMATS.values() if formats >> f.code & 1),
            runtime_rounding=bool(found.pop("runtime_rounding")),
            outliers=self._read("CAP_OUTLIERS"),
            **found,
        )

    def _check(self, name: str, wanted: int) -> None:
        value = self._read(name)
        if value != wanted:
            raise DeviceError(f"the accelerator's {name} must be {wanted:#x}, not {value:#x}")

    def _waiting(self) -> int:
        """Jobs that wait; JobFault where one has stopped."""
        value = self._read("STATUS")
        if value & HALTED:
            code, tag = self._read("FAULT"), self._read("FAULT_TAG")
            name = Fault(code).name if code in set(Fault) else "unknown"
            raise JobFault(name, code, tag)
        return value >> 8 & 0xFF

    def _clear_interrupts(self) -> None:
        """To be done before a look at the registers: what happens after it then raises the line again."""
        self._write("IRQ_STATUS", IRQ_JOB | IRQ_EMPTY | IRQ_FAULT | IRQ_DROPPED)

    def _wait_interrupt(self, deadline: float, problem: str) -> None:
        left = deadline - self._clock()
        if left <= 0:
            raise DeviceError(f"the accelerator took too long: {problem}")
        self._transport.wait_interrupt(min(left, _POLL_S))

    def _read(self, name: str) -> int:
        return self._transport.read32(OFFSETS[name])

    def _write(self, name: str, value: int) -> None:
        self._transport.write32(OFFSETS[name], value)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A matrix in memory.

    Parameters
    ----------
    address
        Of its first byte.
    stride
        Bytes from one row in memory to the next.
    shape
        Of the matrix: (M, K) of an A, (K, N) of a W, (M, N) of a C.
    data
        What its elements are.
    axis
        The axis that a row in memory goes along: 1 of a matrix stored row by row, 0 of one stored column by column.
    segments
        Of MX: formats and positions along that axis.

    Raises
    ------
    TypeError
        ``data`` is no `Data`, such as the name of a format.
    """

    address: int
    stride: int
    shape: tuple[int, int]
    data: Data
    axis: int = 1
    segments: tuple[golden.Segment, ...] = ()

    def __post_init__(self) -> None:
        _check_data(self.data)

    @property
    def rows(self) -> int:
        """Rows in memory."""
        return self.shape[1 - self.axis]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory."""
        if self.data is Data.MX:
            return sum(s.blocks * s.format.block_bytes for s in self.segments)
        return self.shape[self.axis] * (4 if self.data is Data.FP32 else 2)

    @property
    def size(self) -> int:
        """Bytes from the first to the last, gaps between rows included."""
        return (self.rows - 1) * self.stride + self.row_bytes

    def as_operand(self, axis: int) -> "Stored":
        """The same bytes as another job's operand: ``axis`` 1, an A, or 0, a W, whose columns are these rows.

        So the MX result of one job, (M, N) with rows along N, becomes the A of a product over N, or, transposed, the W
        (N, M) of one.
        """
        if axis == self.axis:
            return self
        return replace(self, axis=axis, shape=self.shape[::-1])


@dataclass(frozen=True, kw_only=True)
class StoredWords:
    """A scale or bias in memory: an FP32 word for each column.

    Parameters
    ----------
    address
        Of the first one.
    count
        How many there are.
    """

    address: int
    count: int


class Arena:
    """Memory that is given out and taken back: the first gap that is large enough.

    Parameters
    ----------
    port
        Reaches the memory.
    base, size
        Bytes that may be given out: from address ``base`` on, so many.
    """

    def __init__(self, port: MemoryPort, base: int, size: int) -> None:
        self._port = port
        first = -(-base // ALIGNMENT) * ALIGNMENT
        self._free = [(first, base + size)] if first < base + size else []  # (first, behind the last), ascending
        self._used: dict[int, int] = {}

    def allocate(self, count: int) -> int:
        """Address, a multiple of 64, of so many bytes.

        Raises
        ------
        ValueError
            ``count`` is below 1.
        DeviceError
            No gap is large enough.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        for i, (first, end) in enumerate(self._free):
            if end - first >= count:
                rest = first + -(-count // ALIGNMENT) * ALIGNMENT
                self._free[i : i + 1] = [(rest, end)] if rest < end else []
                self._used[first] = min(rest, end)
                return first
        largest = max((end - first for first, end in self._free), default=0)
        raise DeviceError(f"the memory has no {count} bytes left in one piece, but {largest}")

    def free(self, place: int | Stored | StoredWords) -> None:
        """Take back what `allocate`, `result` or a store gave; ValueError where that is not given out."""
        address = place.address if isinstance(place, Stored | StoredWords) else place
        if address not in self._used:
            raise ValueError(f"nothing was given out at {address:#x}")
        merged: list[tuple[int, int]] = []
        for first, end in sorted([*self._free, (address, self._used.pop(address))]):
            if merged and merged[-1][1] == first:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((first, end))
        self._free = merged

    def store(self, x: np.ndarray, *, axis: int = 1) -> Stored:
        """Store a matrix, float32 or BF16 words (uint16): row by row, or column by column with ``axis`` 0."""
        data = {np.dtype(np.float32): Data.FP32, np.dtype(np.uint16): Data.BF16}.get(x.dtype)
        if data is None or x.ndim != 2 or not x.size:
            raise ValueError(f"x must be a matrix of float32 or uint16, not {x.dtype} of shape {x.shape}")
        rows = x if axis == 1 else x.T
        words = np.ascontiguousarray(rows, "<f4" if data is Data.FP32 else "<u2")
        return self._write(words.tobytes(), x.shape, data, axis, ())

    def store_mx(self, t: MXTensor) -> Stored:
        """Store a 2-D tensor: each row (of one blocked along axis 1) or column (axis 0) as its packed blocks."""
        if len(t.shape) != 2:
            raise ValueError(f"t must be 2-D, not of shape {t.shape}")
        return self._write(t.pack().tobytes(), t.shape, Data.MX, t.axis, t.segments)

    def store_weight(self, policy: PrecisionPolicy, name: str, w: np.ndarray) -> Stored:
        """Store a layer's weights, float32 (K, N), in the formats and the order of a policy."""
        _segments_of(policy, name, w.shape[0])
        return self.store_mx(policy.quantize_w(name, w))

    def store_channels(self, policy: PrecisionPolicy, name: str, k: int) -> int:
        """Store the mask of a layer's outliers among k channels; its address, or 0 where there are none."""
        channels = policy.outliers.get(name, ())
        return self.store_mask(channels, k) if channels else 0

    def store_words(self, x: np.ndarray) -> StoredWords:
        """Store a scale or bias for each column, float32 (N,)."""
        words = np.ascontiguousarray(x, "<f4")
        return StoredWords(address=self.store_bytes(words.tobytes()), count=words.size)

    def store_mask(self, channels: Sequence[int] | np.ndarray, k: int) -> int:
        """Store the mask that marks those channels of k; its address."""
        return self.store_bytes(mask_bytes(channels, k))

    def store_bytes(self, data: bytes) -> int:
        """Store bytes; their address."""
        address = self.allocate(len(data))
        self._port.write_memory(address, data)
        return address

    def result(
        self,
        m: int,
        n: int,
        data: Data = Data.FP32,
        *,
        formats: tuple[str, str] = ("mx6", "mx9"),
        split: int | None = None,
        head: int = 0,
    ) -> Stored:
        """Room for a C (m, n).

        Parameters
        ----------
        m, n
            Its shape.
        data
            What to store.
        formats, split, head
            Of MX, see `Job`: without a ``split`` all is of the first format.

        Raises
        ------
        TypeError
            ``data`` is no `Data`, such as the name of a format.
        DeviceError
            No gap is large enough.
        """
        _check_data(data)
        segments: tuple[golden.Segment, ...] = ()
        if data is Data.MX:
            runs = result_runs(n, n if split is None else split, head)
            segments = tuple(golden.Segment(format=get_format(formats[i]), length=length) for i, length in runs)
        stored = Stored(address=0, stride=0, shape=(m, n), data=data, segments=segments)
        stored = replace(stored, stride=stored.row_bytes)
        return replace(stored, address=self.allocate(stored.size))

    def load(self, stored: Stored) -> np.ndarray:
        """A matrix of FP32 as float32, one of BF16 as words (uint16); ValueError for MX."""
        if stored.data is Data.MX:
            raise ValueError("stored must be FP32 or BF16, not MX")
        kind = np.dtype("<f4" if stored.data is Data.FP32 else "<u2")
        x = np.frombuffer(self._rows(stored), kind).reshape(stored.rows, -1)
        return np.ascontiguousarray(x if stored.axis == 1 else x.T, kind.newbyteorder("="))

    def load_mx(self, stored: Stored) -> MXTensor:
        """A tensor, bit for bit as stored; ValueError for FP32 or BF16."""
        if stored.data is not Data.MX:
            raise ValueError(f"stored must be MX, not {stored.data.name}")
        data = np.frombuffer(self._rows(stored), np.uint8)
        return golden.unpack(data, stored.segments, stored.shape, stored.axis)

    def _write(
        self, data: bytes, shape: tuple[int, ...], kind: Data, axis: int, segments: tuple[golden.Segment, ...]
    ) -> Stored:
        size = (shape[0], shape[1])
        stored = Stored(address=0, stride=0, shape=size, data=kind, axis=axis, segments=segments)
        return replace(stored, address=self.store_bytes(data), stride=stored.row_bytes)

    def _rows(self, stored: Stored) -> bytes:
        if stored.stride == stored.row_bytes:
            return self._port.read_memory(stored.address, stored.size)
        places = range(stored.address, stored.address + stored.rows * stored.stride, stored.stride)
        return b"".join(self._port.read_memory(place, stored.row_bytes) for place in places)


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Scale or bias of a job: nothing, one FP32 number for all columns, or the address of one for each.

    Parameters
    ----------
    value
        The number.
    address
        Of N FP32 words: what `Arena.store_words` gives, or a plain address, whose number of words nobody checks.

    Raises
    ------
    TypeError
        ``value`` is no number, or ``address`` is neither.
    ValueError
        Both are given.
    """

    value: float | np.floating | None = None
    address: int | StoredWords | None = None
    fields: tuple[Operand, int] = field(init=False)

    def __post_init__(self) -> None:
        if self.value is not None and self.address is not None:
            raise ValueError("an operand must be a value or an address, not both")
        if not isinstance(self.value, Real | None):
            raise TypeError(f"value must be a number, not {type(self.value).__name__}: for columns, {_COLUMNS}")
        if not isinstance(self.address, int | np.integer | StoredWords | None):
            raise TypeError(f"address must be that of words in memory, not {type(self.address).__name__}: {_COLUMNS}")
        if isinstance(self.address, StoredWords):
            fields = Operand.COLUMN, self.address.address
        elif self.address is not None:
            fields = Operand.COLUMN, int(self.address)
        elif self.value is not None:
            fields = Operand.TENSOR, int(np.float32(self.value).view(np.uint32))
        else:
            fields = Operand.NONE, 0
        object.__setattr__(self, "fields", fields)


NOTHING = Affine()
_COLUMNS = "Affine(address=arena.store_words(x))"


def _check_data(data: object) -> None:
    if not isinstance(data, Data):
        raise TypeError(f"data must be Data.FP32, Data.BF16 or Data.MX, not {data!r}: formats of MX are given apart")


def _check_affine(name: str, given: object, columns: int) -> None:
    """TypeError for what is no `Affine`; ValueError for one of fewer words than there are columns."""
    if not isinstance(given, Affine):
        number = "for one number, Affine(value=x)"
        raise TypeError(f"{name} must be an Affine, not {type(given).__name__}: {number}; for columns, {_COLUMNS}")
    if isinstance(given.address, StoredWords) and given.address.count < columns:
        raise ValueError(f"{name} must have a word for each of the N={columns} columns, not {given.address.count}")


def mask_bytes(channels: Sequence[int] | np.ndarray, k: int) -> bytes:
    """The mask of outlier channels: channel c is bit c % 8 of byte c // 8, in whole 16-bit words.

    Raises
    ------
    ValueError
        A channel is not within 0 to k - 1, or there twice.
    """
    numbers = np.asarray(channels, np.int64)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < k:
        raise ValueError(f"channels must be 0 to {k - 1}, not {numbers.min()} to {numbers.max()}")
    if len(np.unique(numbers)) != numbers.size:
        raise ValueError("channels must be distinct")
    bits = np.zeros(BLOCK_SIZE * blocks_of(k), np.uint8)
    bits[numbers] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def gemm_job(
    a: Stored,
    w: Stored,
    c: Stored,
    *,
    a_format: str | Sequence[str] = "mx6",
    w_format: str | Sequence[str] = "mx6",
    outliers: int = 0,
    mask_address: int = 0,
    scale: Affine = NOTHING,
    bias: Affine = NOTHING,
    split: int | None = None,
    head: int = 0,
    formats: tuple[str, str] = ("mx6", "mx9"),
    rounding: int = 0,
    interrupt: bool = True,
    tag: int = 0,
) -> Job:
    """The job that computes C = A @ W, scaled and biased.

    Parameters
    ----------
    a
        A (M, K), rows along K.
    w
        W (K, N); with outliers, MX as `golden.repeat_outliers` makes it, which is (K + outliers, N).
    c
        Where C (M, N) goes, as `Arena.result` gives it.
    a_format, w_format
        What FP32 or BF16 is converted to: one format, or one for each of the ceil(K/16) blocks. Of an MX operand its
        own formats count.
    outliers, mask_address
        Channels of A that are kept in MX9, and where their mask is (`Arena.store_mask`); A is FP32 or BF16 then.
    scale, bias
        See `Affine`.
    split, head, formats
        Of an MX result: what `Arena.result` was told.
    rounding
        Code, see `Job`.
    interrupt, tag
        See `Job`.

    Raises
    ------
    TypeError
        Scale or bias is no `Affine`.
    ValueError
        Shapes, blocks or types do not fit each other, a size is above 65535, scale or bias has too few words, or
        formats change more than three times along K. Formats that the design lacks, and memory that it may not touch,
        are its own to tell.
    """
    m, k, n = *a.shape, w.shape[1]
    if a.axis != 1 or (w.data is Data.MX and w.axis != 0) or c.axis != 1:
        raise ValueError("a and c must have rows, and a w of MX columns, along a row in memory")
    if a.data is Data.MX and w.data is not Data.MX:
        k = w.shape[0]  # the blocks of A may hold padding, which W has not
    if w.data is not Data.MX and w.shape[0] != k:
        raise ValueError(f"a and w must have the same K, not {k} and {w.shape[0]}")
    if max(m, n, k) > MAX_SIZE:
        raise ValueError(f"M, N and K must be at most {MAX_SIZE}, not {m}, {n} and {k}")
    if c.shape != (m, n):
        raise ValueError(f"c must be {(m, n)}, not {c.shape}")
    if outliers and (a.data is Data.MX or w.data is not Data.MX):
        raise ValueError("outliers need a of FP32 or BF16, and w of MX")
    total = blocks_of(k) + blocks_of(outliers)
    a_blocks = _block_formats("a", a, a_format, k) + [MX9.name] * blocks_of(outliers)
    w_blocks = _block_formats("w", w, w_format, k)
    if a.data is Data.MX and w.data is Data.MX:
        total = len(a_blocks)
    for name, blocks in (("a", a_blocks), ("w", w_blocks)):
        if len(blocks) != total:
            raise ValueError(f"{name} must have {total} blocks along K, not {len(blocks)}")
    if a.data is not Data.MX and w.data is Data.MX and w.shape[0] != k + outliers:
        raise ValueError(f"w must have the K={k} channels of a and {outliers} outliers, not {w.shape[0]}")
    behind = [i >= blocks_of(k) and outliers > 0 for i in range(total)]  # outliers have segments of their own
    segments = tuple(
        Segment(blocks=len(list(group)), a=fa, w=fw)
        for (fa, fw, _), group in groupby(zip(a_blocks, w_blocks, behind, strict=True))
    )
    if len(segments) > MAX_SEGMENTS:
        raise ValueError(f"formats along K must make at most {MAX_SEGMENTS} segments, not {len(segments)}")
    split = n if split is None else split
    if c.data is Data.MX:
        wanted = [(get_format(formats[i]), length) for i, length in result_runs(n, split, head)]
        if [(s.format, s.length) for s in c.segments] != wanted:
            raise ValueError("c must have been made with the same formats, split and head")
    for name, affine in (("scale", scale), ("bias", bias)):
        _check_affine(name, affine, n)
    (scale_mode, scale_bits), (bias_mode, bias_bits) = scale.fields, bias.fields
    return Job(
        m=m,
        n=n,
        k=k,
        a_address=a.address,
        w_address=w.address,
        c_address=c.address,
        a_stride=a.stride,
        w_stride=w.stride,
        c_stride=c.stride,
        a_type=a.data,
        w_type=w.data,
        c_type=c.data,
        w_columns=w.axis == 0,
        segments=segments,
        outliers=outliers,
        mask_address=mask_address,
        c_formats=formats,
        c_split=split if c.data is Data.MX else 0,
        c_head=head if c.data is Data.MX else 0,
        scale_mode=scale_mode,
        bias_mode=bias_mode,
        scale=scale_bits,
        bias=bias_bits,
        rounding=rounding,
        interrupt=interrupt,
        tag=tag,
    )


def policy_job(
    policy: PrecisionPolicy,
    name: str,
    a: Stored,
    w: Stored,
    c: Stored,
    *,
    mask_address: int = 0,
    **options: Any,
) -> Job:
    """The job of a product under a policy: `gemm_job` with the policy's formats, outliers and rounding.

    Parameters
    ----------
    policy, name
        The policy, and the product's name in it.
    a
        A (M, K) of FP32 or BF16, which the accelerator converts, or MX as ``policy.quantize_a`` makes it.
    w
        W (K, N) as `Arena.store_weight` gives it; without outliers it may be of FP32 or BF16.
    c, options
        As `gemm_job`.
    mask_address
        Where the outliers' mask is, as `Arena.store_channels` gives it; not used without outliers or with an MX A.

    Subnormals, NaN and Inf are converted as the design has it, and values are rounded so where it has one rounding.

    Raises
    ------
    ValueError
        The product is exempt, has outliers beyond K, or MX that is stored otherwise; the order is not in place and the
        accelerator is to convert A; and as `gemm_job` does.
    """
    channels = () if HEAD_PRODUCT.fullmatch(name) else policy.outliers.get(name, ())
    repeated = len(channels) if a.data is Data.MX and policy.order == "in-place" else 0
    segments = _segments_of(policy, name, a.shape[1] - repeated)
    if channels and a.data is not Data.MX and policy.order != "in-place":
        raise ValueError(f"order must be in-place where the accelerator converts a, not {policy.order}")
    a_segments, w_segments = [(fa, k) for fa, _, k in segments], [(fw, k) for _, fw, k in segments]
    for what, stored, wanted in (("a", a, a_segments), ("w", w, w_segments)):
        found = [(s.format.name, s.length) for s in stored.segments]
        if stored.data is Data.MX and found != wanted:
            raise ValueError(f"{what} must be stored as the policy has {name}, {_told(wanted)}, not {_told(found)}")
    a_format, w_format, _ = segments[0]
    converted = channels if a.data is not Data.MX else ()
    return gemm_job(
        a,
        w,
        c,
        a_format=a_format,
        w_format=w_format,
        outliers=len(converted),
        mask_address=mask_address if converted else 0,
        rounding=ROUNDINGS.index(policy.rounding),
        **options,
    )


def _segments_of(policy: PrecisionPolicy, name: str, k: int) -> tuple[tuple[str, str, int], ...]:
    """`PrecisionPolicy.segments`, or ValueError for the exempt."""
    segments = policy.segments(name, k)
    if segments is None:
        raise ValueError(f"{name} must not be exempt, which the policy leaves in float32")
    return segments


def _told(segments: Sequence[tuple[str, int]]) -> str:
    return " + ".join(f"{k} {fmt}" for fmt, k in segments)


def _block_formats(name: str, stored: Stored, fmt: str | Sequence[str], k: int) -> list[str]:
    """Names of the formats of an operand's blocks along K, those of outliers that are to come left out."""
    if stored.data is Data.MX:
        return [s.format.name for s in stored.segments for _ in range(s.blocks)]
    blocks = [fmt] * blocks_of(k) if isinstance(fmt, str) else list(fmt)
    if len(blocks) != blocks_of(k):
        raise ValueError(f"{name}_format must name {blocks_of(k)} formats, not {len(blocks)}")
    return blocks
