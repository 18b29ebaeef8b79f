"""The checker itself: it accepts good traffic of all kinds, and sees a violation of each rule."""

from collections.abc import Iterable, Mapping

import pytest

from tests.support.axi_rules import AxiError, AxiLiteRules, AxiRules

Cycles = Iterable[Mapping[str, int]]

ADDRESS = {"id": 0, "addr": 0x1000, "len": 0, "size": 3, "burst": 1, "cache": 3, "prot": 0, "valid": 1, "ready": 1}


def address(channel: str, **changes: int) -> dict[str, int]:
    return {f"{channel}{name}": value for name, value in (ADDRESS | changes).items()}


def ar(**changes: int) -> dict[str, int]:
    return address("ar", **changes)


def aw(**changes: int) -> dict[str, int]:
    return address("aw", **changes)


def w(last: int, strobe: int = 0xFF, data: int = 5, ready: int = 1) -> dict[str, int]:
    return {"wvalid": 1, "wready": ready, "wdata": data, "wstrb": strobe, "wlast": last}


def r(last: int, resp: int = 0, data: int = 7, ready: int = 1, rid: int = 0) -> dict[str, int]:
    return {"rvalid": 1, "rready": ready, "rdata": data, "rresp": resp, "rlast": last, "rid": rid}


def b(resp: int = 0, ready: int = 1, bid: int = 0) -> dict[str, int]:
    return {"bvalid": 1, "bready": ready, "bresp": resp, "bid": bid}


def check(cycles: Cycles, rules: AxiRules | AxiLiteRules | None = None) -> AxiRules | AxiLiteRules:
    rules = rules or AxiRules(data_bits=64, address_bits=32)
    for signals in cycles:
        rules.cycle(signals)
    rules.end()
    return rules


@pytest.mark.parametrize(
    ("cycles", "reads", "writes"),
    [
        ([{}], 0, 0),
        ([ar(), r(1)], 1, 0),
        ([ar(len=1), r(0), {}, r(1)], 1, 0),
        # Waiting on either side, and answers that overlap the next address.
        ([ar(ready=0), ar(ready=0), ar(), r(1, ready=0), r(1) | ar(), r(1, resp=2)], 2, 0),
        ([ar(), ar(len=1), r(1), r(0), r(1)], 2, 0),
        ([aw() | w(1), b()], 0, 1),
        ([aw(), w(1), b(resp=3, ready=0), b(resp=3)], 0, 1),
        ([w(1), aw(), b()], 0, 1),
        ([w(0), w(1), w(1), aw(len=1), aw(), b(), b()], 0, 2),
        ([w(0), aw(len=2), w(0), w(1), b()], 0, 1),
        ([aw(), aw(), w(1), w(1) | b(), b()], 0, 2),
        ([aw(addr=0x1006) | w(1, 0xC0), b()], 0, 1),
        ([aw(addr=0x1006, len=1) | w(0, 0x40), w(1, 0xFF), b()], 0, 1),
        ([aw() | w(1, 0), b()], 0, 1),
        # Up to the end of a page, and of the address space.
        ([ar(addr=0x1F80, len=15)] + [r(0)] * 15 + [r(1)], 1, 0),
        ([ar(addr=0xFFFFFFF8), r(1)], 1, 0),
        ([ar() | aw() | w(1), r(1) | b()], 1, 1),
        ([ar(id=1), r(1, rid=1), aw(id=1) | w(1), b(bid=1)], 1, 1),
    ],
)
def test_good(cycles: Cycles, reads: int, writes: int) -> None:
    rules = check(cycles)
    assert (rules.reads, rules.writes) == (reads, writes)


BROKEN: list[tuple[list[dict[str, int]], str]] = [
    # Handshakes, on each channel.
    ([ar(ready=0), {}], "cycle 1: arvalid was withdrawn before arready"),
    ([aw(ready=0), {}], "cycle 1: awvalid was withdrawn before awready"),
    ([w(1, ready=0), {}], "cycle 1: wvalid was withdrawn before wready"),
    ([ar(), r(1, ready=0), {}], "cycle 2: rvalid was withdrawn before rready"),
    ([aw() | w(1), b(ready=0), {}], "cycle 2: bvalid was withdrawn before bready"),
    ([w(1, ready=0), w(1, data=6)], "cycle 1: wdata changed from 0x5 to 0x6 before wready"),
    ([w(1, ready=0), w(1, 0x7F)], "cycle 1: wstrb changed from 0xff to 0x7f before wready"),
    ([w(1, ready=0), w(0)], "cycle 1: wlast changed from 0x1 to 0x0 before wready"),
    ([ar(), r(1, ready=0), r(1, data=6)], "cycle 2: rdata changed from 0x7 to 0x6 before rready"),
    ([ar(), r(1, ready=0), r(1, resp=2)], "cycle 2: rresp changed from 0x0 to 0x2 before rready"),
    ([aw() | w(1), b(ready=0), b(resp=2)], "cycle 2: bresp changed from 0x0 to 0x2 before bready"),
    *(
        ([address(channel, ready=0), address(channel, **{name: new})], f"cycle 1: {channel}{name} changed from {text}")
        for channel in ("ar", "aw")
        for name, new, text in (
            ("addr", 0x2000, "0x1000 to 0x2000"),
            ("len", 1, "0x0 to 0x1"),
            ("id", 1, "0x0 to 0x1"),
            ("cache", 2, "0x3 to 0x2"),
            ("prot", 1, "0x0 to 0x1"),
        )
    ),
    # Addresses, taken or not.
    *(
        ([{}, address(channel, ready=ready, **changes)], f"cycle 1: {text.format(channel)}")
        for channel in ("ar", "aw")
        for ready in (0, 1)
        for changes, text in (
            ({"size": 2}, "{}size must be of 8 bytes, not 4"),
            ({"burst": 0}, "{}burst must be 1, not 0"),
            ({"burst": 2}, "{}burst must be 1, not 2"),
            ({"len": 256}, "{}len must be at most 255, not 256"),
            ({"addr": 0x1F88, "len": 15}, "burst of 16 beats at {}addr 0x1f88 crosses 4096 bytes"),
            ({"addr": 0x1FFF, "len": 1}, "burst of 2 beats at {}addr 0x1fff crosses 4096 bytes"),
            ({"addr": 0x100000000}, "{}addr 0x100000000 is outside of the address space"),
        )
    ),
    # Read data.
    ([r(1, ready=0)], "cycle 0: rvalid without a read burst"),
    ([ar() | r(1)], "cycle 0: rvalid without a read burst"),
    ([ar(), r(1), r(1)], "cycle 2: rvalid without a read burst"),
    ([ar(), r(0)], "cycle 1: rlast is 0 at beat 1 of 1"),
    ([ar(len=2), r(0), r(1)], "cycle 2: rlast is 1 at beat 2 of 3"),
    ([ar(len=1), ar(), r(1)], "cycle 2: rlast is 1 at beat 1 of 2"),
    ([ar(id=0), ar(id=1), r(1, rid=1)], "cycle 2: rid must be 0, not 1"),
    ([ar(), r(1, resp=1)], "cycle 1: rresp is EXOKAY without an exclusive access"),
    # Write data.
    ([aw(len=1) | w(1)], "cycle 0: wlast is 1 at beat 1 of 2 at awaddr 0x1000"),
    ([aw() | w(0)], "cycle 0: wlast is 0 at beat 1 of 1 at awaddr 0x1000"),
    ([w(0), w(0), aw(len=1)], "cycle 2: wlast is 0 at beat 2 of 2 at awaddr 0x1000"),
    ([w(0), w(1), aw()], "cycle 2: wlast is 1 at beat 2 of 1 at awaddr 0x1000"),
    ([aw(len=2), w(0), w(0), w(0)], "cycle 3: wlast is 0 at beat 3 of 3 at awaddr 0x1000"),
    ([aw(addr=0x1006) | w(1, 0xE0)], "cycle 0: wstrb 0xe0 reaches below awaddr 0x1006"),
    ([w(1, 0xE0), aw(addr=0x1006)], "cycle 1: wstrb 0xe0 reaches below awaddr 0x1006"),
    ([w(1, 0x100)], "cycle 0: wstrb 0x100 is too wide"),
    # Write responses.
    ([b(ready=0)], "cycle 0: bvalid without a write burst that has ended"),
    ([aw(), b()], "cycle 1: bvalid without a write burst that has ended"),
    ([w(1), b()], "cycle 1: bvalid without a write burst that has ended"),
    ([aw() | w(1) | b()], "cycle 0: bvalid without a write burst that has ended"),
    ([aw(len=1) | w(0), b()], "cycle 1: bvalid without a write burst that has ended"),
    ([aw() | w(1), b(), b()], "cycle 2: bvalid without a write burst that has ended"),
    ([aw() | w(1), b(bid=1)], "cycle 1: bid must be 0, not 1"),
    ([aw() | w(1), b(resp=1)], "cycle 1: bresp is EXOKAY without an exclusive access"),
    # The end.
    ([ar(ready=0)], "cycle 0: arvalid still waits for arready at the end"),
    ([w(1, ready=0)], "cycle 0: wvalid still waits for wready at the end"),
    ([ar(), ar(), r(1)], "cycle 2: 1 read bursts have not ended at the end"),
    ([ar(len=1), r(0)], "cycle 1: 1 read bursts have not ended at the end"),
    ([w(0)], "cycle 0: a burst of write data has no wlast at the end"),
    ([aw(len=1) | w(0)], "cycle 0: a burst of write data has no wlast at the end"),
    ([w(1)], "cycle 0: 1 bursts of write data have no address at the end"),
    ([aw()], "cycle 0: 1 write bursts have no data at the end"),
    ([aw() | w(1)], "cycle 0: 1 write bursts have no response at the end"),
]


@pytest.mark.parametrize(("cycles", "text"), BROKEN)
def test_broken(cycles: Cycles, text: str) -> None:
    with pytest.raises(AxiError) as told:
        check(cycles)
    assert str(told.value).startswith(text)


def lite(channel: str, ready: int = 1, **changes: int) -> dict[str, int]:
    fields = {
        "ar": {"araddr": 8, "arprot": 0},
        "r": {"rdata": 7, "rresp": 0},
        "aw": {"awaddr": 4, "awprot": 0},
        "w": {"wdata": 5, "wstrb": 15},
        "b": {"bresp": 0},
    }[channel]
    return fields | changes | {f"{channel}valid": 1, f"{channel}ready": ready}


@pytest.mark.parametrize(
    ("cycles", "reads", "writes"),
    [
        ([lite("ar"), lite("r")], 1, 0),
        ([lite("ar"), lite("r") | lite("ar", araddr=0), lite("r", 0), lite("r", rdata=7, rresp=0)], 2, 0),
        ([lite("aw") | lite("w"), lite("b", bresp=2)], 0, 1),
        ([lite("w"), lite("aw"), lite("b", 0), lite("b")], 0, 1),
        ([lite("aw", 0), lite("aw"), lite("w"), lite("b")], 0, 1),
    ],
)
def test_good_lite(cycles: Cycles, reads: int, writes: int) -> None:
    rules = check(cycles, AxiLiteRules(data_bits=32, address_bits=12))
    assert (rules.reads, rules.writes) == (reads, writes)


BROKEN_LITE: list[tuple[list[dict[str, int]], str]] = [
    *(
        ([lite("ar") | lite("aw") | lite("w"), lite(channel, 0), {}], f"cycle 2: {channel}valid was withdrawn before")
        for channel in ("ar", "r", "aw", "w", "b")
    ),
    ([lite("ar", 0), lite("ar", araddr=0)], "cycle 1: araddr changed from 0x8 to 0x0 before arready"),
    ([lite("aw", 0), lite("aw", awaddr=0)], "cycle 1: awaddr changed from 0x4 to 0x0 before awready"),
    ([lite("aw", 0), lite("aw", awprot=1)], "cycle 1: awprot changed from 0x0 to 0x1 before awready"),
    ([lite("w", 0), lite("w", wdata=6)], "cycle 1: wdata changed from 0x5 to 0x6 before wready"),
    ([lite("w", 0), lite("w", wstrb=1)], "cycle 1: wstrb changed from 0xf to 0x1 before wready"),
    ([lite("ar"), lite("r", 0), lite("r", rdata=1)], "cycle 2: rdata changed from 0x7 to 0x1 before rready"),
    ([lite("aw") | lite("w"), lite("b", 0), lite("b", bresp=2)], "cycle 2: bresp changed from 0x0 to 0x2"),
    ([lite("ar", araddr=4096)], "cycle 0: araddr 0x1000 is outside of the address space"),
    ([lite("aw", awaddr=4096)], "cycle 0: awaddr 0x1000 is outside of the address space"),
    ([lite("w", wstrb=16)], "cycle 0: wstrb 0x10 is too wide"),
    ([lite("r")], "cycle 0: rvalid without a read address"),
    ([lite("ar") | lite("r")], "cycle 0: rvalid without a read address"),
    ([lite("ar"), lite("r", rresp=1)], "cycle 1: rresp is EXOKAY, which AXI4-Lite does not have"),
    ([lite("w"), lite("b")], "cycle 1: bvalid without a write address"),
    ([lite("aw"), lite("b")], "cycle 1: bvalid without write data"),
    ([lite("aw") | lite("w") | lite("b")], "cycle 0: bvalid without a write address"),
    ([lite("aw") | lite("w"), lite("b", bresp=1)], "cycle 1: bresp is EXOKAY, which AXI4-Lite does not have"),
    ([lite("w", 0)], "cycle 0: wvalid still waits for wready at the end"),
    ([lite("ar")], "cycle 0: 1 reads have no answer at the end"),
    ([lite("aw")], "cycle 0: 1 write addresses but 0 data at the end"),
    ([lite("w")], "cycle 0: 0 write addresses but 1 data at the end"),
    ([lite("aw") | lite("w")], "cycle 0: 1 writes have no response at the end"),
]


@pytest.mark.parametrize(("cycles", "text"), BROKEN_LITE)
def test_broken_lite(cycles: Cycles, text: str) -> None:
    with pytest.raises(AxiError) as told:
        check(cycles, AxiLiteRules(data_bits=32, address_bits=12))
    assert str(told.value).startswith(text)
