"""The rules of AXI4 and AXI4-Lite, checked cycle by cycle on what a port's signals are at each edge of the clock.

For any simulator: the signals come as integers by the names of the specification, without the port's prefix::

    rules = AxiRules(data_bits=128, address_bits=40)
    for each cycle: rules.cycle({"arvalid": 1, "arready": 0, "araddr": 0x40, ...})
    rules.end()

A port without read or without write channels leaves them out. `AxiRules` expects of a master what the accelerator
promises: bursts of type INCR and full width, aligned to it or not, and one identifier, so that all answers come in
order. Which side broke a rule follows from the text.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

BURST_INCR = 1
PAGE_BYTES = 4096
EXOKAY = 1

ADDRESS = ("id", "addr", "len", "size", "burst", "cache", "prot")
AXI_PAYLOADS = {
    "ar": tuple(f"ar{name}" for name in ADDRESS),
    "r": ("rid", "rdata", "rresp", "rlast"),
    "aw": tuple(f"aw{name}" for name in ADDRESS),
    "w": ("wdata", "wstrb", "wlast"),
    "b": ("bid", "bresp"),
}
LITE_PAYLOADS = {
    "ar": ("araddr", "arprot"),
    "r": ("rdata", "rresp"),
    "aw": ("awaddr", "awprot"),
    "w": ("wdata", "wstrb"),
    "b": ("bresp",),
}


class AxiError(AssertionError):
    """A rule of the bus is broken."""


@dataclass
class _Burst:
    """An address that was taken, or a burst of data."""

    id: int = 0
    address: int = 0
    beats: int = 0
    strobes: list[int] = field(default_factory=list)


class _Channels:
    """Handshakes: valid stays, and what is offered stays the same, until it is taken."""

    def __init__(self, payloads: Mapping[str, tuple[str, ...]]) -> None:
        self._payloads = payloads
        self._offered: dict[str, dict[str, int]] = {}
        self.now = -1  # the present cycle

    def _fail(self, text: str) -> None:
        raise AxiError(f"cycle {self.now}: {text}")

    def _require(self, condition: object, text: str) -> None:
        if not condition:
            self._fail(text)

    def _taken(self, signals: Mapping[str, int]) -> set[str]:
        """Check the handshakes of this cycle; the channels that move."""
        taken = set()
        for channel, names in self._payloads.items():
            valid = signals.get(f"{channel}valid", 0)
            payload = {name: signals[name] for name in names if name in signals} if valid else {}
            before = self._offered.pop(channel, None)
            if before is not None:
                self._require(valid, f"{channel}valid was withdrawn before {channel}ready")
                for name, value in before.items():
                    new = payload.get(name)
                    if new != value:
                        self._fail(f"{name} changed from {value:#x} to {new:#x} before {channel}ready")
            if valid and signals.get(f"{channel}ready", 0):
                taken.add(channel)
            elif valid:
                self._offered[channel] = payload
        return taken

    def _waiting(self) -> None:
        for channel in self._offered:
            self._fail(f"{channel}valid still waits for {channel}ready at the end")


class AxiRules(_Channels):
    """Rules of AXI4.

    Parameters
    ----------
    data_bits, address_bits
        Of the port.

    Attributes
    ----------
    now
        The cycle seen last, from 0.
    reads, writes
        Bursts whose last beat, or whose response, has been taken.
    """

    def __init__(self, data_bits: int, address_bits: int) -> None:
        super().__init__(AXI_PAYLOADS)
        self._bytes = data_bits // 8
        self._top = 1 << address_bits
        self._reads: deque[_Burst] = deque()  # addresses taken, without their last beat
        self._beats = 0  # of the first of them that have been taken
        self._addresses: deque[_Burst] = deque()  # of writes, without all their data
        self._data: deque[_Burst] = deque()  # of writes, without their address; the last may be incomplete
        self._open = False  # it is
        self._unanswered: deque[int] = deque()  # identifiers
        self.reads = self.writes = 0

    def cycle(self, signals: Mapping[str, int]) -> None:
        """Check one cycle.

        Raises
        ------
        AxiError
            A rule is broken; the text begins with the cycle.
        """
        self.now += 1
        self._offers(signals)
        taken = self._taken(signals)
        # Answers first: those to what is taken in the same cycle would come too early.
        if "r" in taken:
            self._read_beat(signals)
        if "b" in taken:
            self._unanswered.popleft()
            self.writes += 1
        if "ar" in taken:
            self._reads.append(self._address(signals, "ar"))
        if "aw" in taken:
            self._addresses.append(self._address(signals, "aw"))
        if "w" in taken:
            self._write_beat(signals)
        if "aw" in taken or "w" in taken:
            self._match()

    def end(self) -> None:
        """Check that nothing is left open.

        Raises
        ------
        AxiError
            Something is.
        """
        self._waiting()
        self._require(not self._reads, f"{len(self._reads)} read bursts have not ended at the end")
        self._require(not self._open, "a burst of write data has no wlast at the end")
        self._require(not self._data, f"{len(self._data)} bursts of write data have no address at the end")
        self._require(not self._addresses, f"{len(self._addresses)} write bursts have no data at the end")
        self._require(not self._unanswered, f"{len(self._unanswered)} write bursts have no response at the end")

    def _offers(self, signals: Mapping[str, int]) -> None:
        """What must hold as soon as it is offered."""
        for channel in ("ar", "aw"):
            if signals.get(f"{channel}valid", 0):
                self._check_address(signals, channel)
        if signals.get("rvalid", 0):
            self._require(self._reads, "rvalid without a read burst")
            burst = self._reads[0]
            last = self._beats == burst.beats - 1
            place = f"beat {self._beats + 1} of {burst.beats}"
            self._require(signals["rlast"] == last, f"rlast is {signals['rlast']} at {place}")
            self._require(signals.get("rid", 0) == burst.id, f"rid must be {burst.id}, not {signals.get('rid', 0)}")
            self._require(signals["rresp"] != EXOKAY, "rresp is EXOKAY without an exclusive access")
        if signals.get("bvalid", 0):
            self._require(self._unanswered, "bvalid without a write burst that has ended")
            expected = self._unanswered[0]
            self._require(signals.get("bid", 0) == expected, f"bid must be {expected}, not {signals.get('bid', 0)}")
            self._require(signals["bresp"] != EXOKAY, "bresp is EXOKAY without an exclusive access")
        if signals.get("wvalid", 0):
            self._require(signals["wstrb"] < 1 << self._bytes, f"wstrb {signals['wstrb']:#x} is too wide")

    def _check_address(self, signals: Mapping[str, int], channel: str) -> None:
        size, kind = signals[f"{channel}size"], signals[f"{channel}burst"]
        address, beats = signals[f"{channel}addr"], signals[f"{channel}len"] + 1
        self._require(1 << size == self._bytes, f"{channel}size must be of {self._bytes} bytes, not {1 << size}")
        self._require(kind == BURST_INCR, f"{channel}burst must be {BURST_INCR}, not {kind}")
        self._require(beats <= 256, f"{channel}len must be at most 255, not {beats - 1}")
        last = (address // self._bytes + beats) * self._bytes - 1
        self._require(
            address // PAGE_BYTES == last // PAGE_BYTES,
            f"burst of {beats} beats at {channel}addr {address:#x} crosses {PAGE_BYTES} bytes",
        )
        self._require(last < self._top, f"{channel}addr {address:#x} is outside of the address space")

    def _address(self, signals: Mapping[str, int], channel: str) -> _Burst:
        return _Burst(signals.get(f"{channel}id", 0), signals[f"{channel}addr"], signals[f"{channel}len"] + 1)

    def _read_beat(self, signals: Mapping[str, int]) -> None:
        self._beats += 1
        if signals["rlast"]:
            self._reads.popleft()
            self._beats = 0
            self.reads += 1

    def _write_beat(self, signals: Mapping[str, int]) -> None:
        if not self._open:
            self._data.append(_Burst())
        self._data[-1].strobes.append(signals["wstrb"])
        self._open = not signals["wlast"]

    def _match(self) -> None:
        """Compare data with their addresses as far as there are both; ended bursts wait for their response."""
        while self._addresses and self._data:
            address, data = self._addresses[0], self._data[0]
            ended = len(self._data) > 1 or not self._open
            count = len(data.strobes)
            place = f"beat {count} of {address.beats} at awaddr {address.address:#x}"
            if ended:
                self._require(count == address.beats, f"wlast is 1 at {place}")
            else:
                self._require(count < address.beats, f"wlast is 0 at {place}")
            below = (1 << address.address % self._bytes) - 1
            strobe = data.strobes[0]
            self._require(not strobe & below, f"wstrb {strobe:#x} reaches below awaddr {address.address:#x}")
            if not ended:
                return
            self._addresses.popleft()
            self._data.popleft()
            self._unanswered.append(address.id)


class AxiLiteRules(_Channels):
    """Rules of AXI4-Lite.

    Parameters
    ----------
    data_bits, address_bits
        Of the port.

    Attributes
    ----------
    now
        The cycle seen last, from 0.
    reads, writes
        Accesses that have been answered.
    """

    def __init__(self, data_bits: int, address_bits: int) -> None:
        super().__init__(LITE_PAYLOADS)
        self._bytes = data_bits // 8
        self._top = 1 << address_bits
        self._taken_count = dict.fromkeys(LITE_PAYLOADS, 0)

    @property
    def reads(self) -> int:
        return self._taken_count["r"]

    @property
    def writes(self) -> int:
        return self._taken_count["b"]

    def cycle(self, signals: Mapping[str, int]) -> None:
        """Check one cycle.

        Raises
        ------
        AxiError
            A rule is broken; the text begins with the cycle.
        """
        self.now += 1
        count = self._taken_count
        for channel in ("ar", "aw"):
            if signals.get(f"{channel}valid", 0):
                address = signals[f"{channel}addr"]
                self._require(address < self._top, f"{channel}addr {address:#x} is outside of the address space")
        if signals.get("wvalid", 0):
            self._require(signals["wstrb"] < 1 << self._bytes, f"wstrb {signals['wstrb']:#x} is too wide")
        if signals.get("rvalid", 0):
            self._require(count["r"] < count["ar"], "rvalid without a read address")
            self._require(signals["rresp"] != EXOKAY, "rresp is EXOKAY, which AXI4-Lite does not have")
        if signals.get("bvalid", 0):
            self._require(count["b"] < count["aw"], "bvalid without a write address")
            self._require(count["b"] < count["w"], "bvalid without write data")
            self._require(signals["bresp"] != EXOKAY, "bresp is EXOKAY, which AXI4-Lite does not have")
        for channel in self._taken(signals):
            count[channel] += 1

    def end(self) -> None:
        """Check that nothing is left open.

        Raises
        ------
        AxiError
            Something is.
        """
        self._waiting()
        count = self._taken_count
        self._require(count["r"] == count["ar"], f"{count['ar'] - count['r']} reads have no answer at the end")
        self._require(count["aw"] == count["w"], f"{count['aw']} write addresses but {count['w']} data at the end")
        self._require(count["b"] == count["aw"], f"{count['aw'] - count['b']} writes have no response at the end")
