"""An accelerator in Python: the registers in front of the golden model of jobs, to write drivers against."""

import contextlib
from collections import deque
from importlib.metadata import version

from ..emit.contract import numerics_digest
from ..host import (
    ABORT,
    FLUSH,
    IRQ_DROPPED,
    IRQ_EMPTY,
    IRQ_FAULT,
    IRQ_JOB,
    OFFSETS,
)
from ..job import DESCRIPTOR_BYTES, Fault, raw_fields
from ..params import Params
from ..registers import capability_values
from .job_model import DESCRIPTOR_ALIGNMENT, run_job_at, whole_window
from .memory import Memory

_WRITABLE = ("JOB_ADDRESS_LO", "JOB_ADDRESS_HI", "IRQ_ENABLE")
_WINDOW = ("WINDOW_BASE_LO", "WINDOW_BASE_HI", "WINDOW_LAST_LO", "WINDOW_LAST_HI")


class ModelTransport:
    """A `mixdit_hw.host.Transport` to a model without time.

    The first job of the queue is the one that runs. It ends when STATUS has been read, so that polling makes progress,
    or in `wait_interrupt`; the others wait. After a fault the model is halted: jobs wait on until a write to
    FAULT_CLEAR. A doorbell while ``queue_depth`` jobs wait is dropped, with the interrupt. All counters are 0.

    Parameters
    ----------
    params
        The design.
    memory
        What its jobs see.
    """

    def __init__(self, params: Params, memory: Memory) -> None:
        self.params = params
        self.memory = memory
        self._names = {offset: name for name, offset in OFFSETS.items()}
        self._queue: deque[int] = deque()
        self._halted = False
        self._registers = dict.fromkeys(OFFSETS, 0) | self._constants()
        base, last = whole_window(params)
        for name, value in (("WINDOW_BASE", base), ("WINDOW_LAST", last)):
            self._registers |= {f"{name}_LO": value & 0xFFFFFFFF, f"{name}_HI": value >> 32}

    def read_memory(self, address: int, count: int) -> bytes:
        """Bytes of the memory; IndexError outside of it."""
        return self.memory.read_memory(address, count)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write the memory; IndexError outside of it."""
        self.memory.write_memory(address, data)

    def read32(self, offset: int) -> int:
        """A register; what is none reads as 0."""
        name = self._names.get(offset)
        if name == "STATUS":
            value = bool(self._queue) and not self._halted
            waiting = len(self._queue) - value
            status = value | self._halted << 1 | waiting << 8
            self._step()
            return status
        return 0 if name is None else self._registers[name]

    def write32(self, offset: int, value: int) -> None:
        """Write a register; what is none, or read-only, keeps its value."""
        name = self._names.get(offset, "")
        if name in _WRITABLE or name in _WINDOW:
            self._registers[name] = value & 0xFFFFFFFF
        elif name == "IRQ_STATUS":
            self._registers[name] &= ~value
        elif name == "DOORBELL":
            if len(self._queue) - (not self._halted) >= self.params.queue_depth:
                self._registers["IRQ_STATUS"] |= IRQ_DROPPED
            else:
                self._queue.append(self._pair("JOB_ADDRESS"))
        elif name == "CONTROL":
            if value & ABORT and self._queue and not self._halted:
                self._end(self._queue.popleft(), Fault.ABORT)
            if value & FLUSH:
                running = [] if self._halted else list(self._queue)[:1]
                self._queue = deque(running)
        elif name == "FAULT_CLEAR" and self._halted:
            self._halted = False
            self._registers |= {"FAULT": 0, "FAULT_TAG": 0}

    def wait_interrupt(self, timeout: float) -> bool:
        """Do jobs until the line is high or none is left; there is no time to wait for."""
        while not self._line and self._queue and not self._halted:
            self._step()
        return self._line

    @property
    def _line(self) -> bool:
        return bool(self._registers["IRQ_STATUS"] & self._registers["IRQ_ENABLE"])

    def _step(self) -> None:
        """Do the job that runs."""
        if not self._queue or self._halted:
            return
        address = self._queue.popleft()
        window = self._pair("WINDOW_BASE"), self._pair("WINDOW_LAST")
        try:
            fault = run_job_at(self.memory, address, self.params, window)
        except IndexError:  # there is no memory
            fault = Fault.READ_DECODE
        self._end(address, fault)

    def _end(self, address: int, fault: Fault) -> None:
        base, last = self._pair("WINDOW_BASE"), self._pair("WINDOW_LAST")
        raw = {"tag": 0, "interrupt": 0}  # of a descriptor that is not read
        if not address % DESCRIPTOR_ALIGNMENT and base <= address and address + DESCRIPTOR_BYTES - 1 <= last:
            with contextlib.suppress(IndexError):
                raw = raw_fields(self.memory.read_memory(address, DESCRIPTOR_BYTES))
        registers = self._registers
        registers["JOB_TAG"] = raw["tag"]
        if fault is Fault.NONE:
            registers["DONE_COUNT"] = registers["DONE_COUNT"] + 1 & 0xFFFFFFFF
            registers["IRQ_STATUS"] |= IRQ_JOB * raw["interrupt"] | IRQ_EMPTY * (not self._queue)
        else:
            registers["FAULT_COUNT"] = registers["FAULT_COUNT"] + 1 & 0xFFFFFFFF
            registers |= {"FAULT": int(fault), "FAULT_TAG": raw["tag"]}
            registers["IRQ_STATUS"] |= IRQ_FAULT
            self._halted = True

    def _pair(self, name: str) -> int:
        return self._registers[f"{name}_LO"] | self._registers[f"{name}_HI"] << 32

    def _constants(self) -> dict[str, int]:
        return capability_values(self.params, version("mixdit-hw"), numerics_digest())
