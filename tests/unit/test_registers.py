"""The register map: its rules by their exact texts, its addresses, and the constants of designs."""

from collections.abc import Callable
from typing import Any

import pytest

from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.registers import ACCESSES, REGISTERS, SPACE_BYTES, Field, Register, capability_values, register_map
from tests.support.errors import raises_exactly

DIGEST = "".join(f"{i:02x}" for i in range(32))
LOW = Field("low", 0, 4, "Low bits.")
HIGH = Field("high", 8, 8, "High bits.")


def test_addresses() -> None:
    offsets = {name: register.offset for name, register in REGISTERS.items()}
    assert offsets == (
        {"ID": 0x000, "VERSION": 0x004, "CAP_ARRAY": 0x008, "CAP_BUS": 0x00C, "CAP_BUFFERS": 0x010}
        | {"CAP_OUTLIERS": 0x014}
        | {f"DIGEST{i}": 0x020 + 4 * i for i in range(8)}
        | {"CONTROL": 0x040, "STATUS": 0x044, "JOB_ADDRESS_LO": 0x048, "JOB_ADDRESS_HI": 0x04C, "DOORBELL": 0x050}
        | {"DONE_COUNT": 0x054, "FAULT_COUNT": 0x058, "JOB_TAG": 0x05C, "IRQ_STATUS": 0x060, "IRQ_ENABLE": 0x064}
        | {"FAULT": 0x068, "FAULT_TAG": 0x06C, "FAULT_CLEAR": 0x070}
        | {"WINDOW_BASE_LO": 0x080, "WINDOW_BASE_HI": 0x084, "WINDOW_LAST_LO": 0x088, "WINDOW_LAST_HI": 0x08C}
        | {"JOB_CYCLES": 0x0C0, "CYCLES": 0x0C4, "PASSES": 0x0C8, "WAIT_A": 0x0CC, "WAIT_W": 0x0D0}
        | {"WAIT_RESULT": 0x0D4, "WAIT_DRAIN": 0x0D8, "READ_BEATS": 0x0DC, "READ_WAIT": 0x0E0}
        | {"WRITE_BEATS": 0x0E4, "WRITE_WAIT": 0x0E8}
    )
    assert list(offsets.values()) == sorted(set(offsets.values()))


def test_texts() -> None:
    """Texts are whole sentences of one line that need no care in a table or a comment of C."""
    for register in REGISTERS.values():
        for text in (register.meaning, *(f.meaning for f in register.fields)):
            assert text.endswith(".")
            assert not any(bad in text for bad in ("\n", "|", "*/"))
    assert {register.access for register in REGISTERS.values()} == set(ACCESSES)


def test_masks() -> None:
    register = Register("X", 0, "rw", "One.", (LOW, HIGH), reset=0x100)
    assert (LOW.mask, HIGH.mask, register.mask) == (0xF, 0xFF00, 0xFF0F)
    assert Register("X", 0, "rw", "One.").mask == 0xFFFFFFFF
    assert register.pack(low=5, high=0x80) == 0x8005
    assert register.pack() == 0
    assert register.unpack(0xFFFF12F3) == {"low": 3, "high": 0x12}


def with_fields(*fields: Field) -> Register:
    return Register("X", 0, "rw", "One.", fields)


X4, Y4, Y8 = (Register(name, offset, "ro", "One.") for name, offset in (("X", 4), ("Y", 4), ("Y", 8)))
NAME = "must be of capital letters, digits and underscores"


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Register("x", 0, "ro", ""), f"name of a register {NAME}, not 'x'"),
        (lambda: Register("X_", 0, "ro", ""), f"name of a register {NAME}, not 'X_'"),
        (lambda: Register("X", 2, "ro", ""), "offset of X must be a multiple of 4 from 0 to 0xffc, not 0x2"),
        (lambda: Register("X", 4096, "ro", ""), "offset of X must be a multiple of 4 from 0 to 0xffc, not 0x1000"),
        (lambda: Register("X", -4, "ro", ""), "offset of X must be a multiple of 4 from 0 to 0xffc, not -0x4"),
        (lambda: Register("X", 0, "wo", ""), "access of X must be one of ro, rw, w1c, pulse, not 'wo'"),
        (
            lambda: Register("X", 0, "rw", "", (LOW,), reset=16),
            "reset of X must be within its bits 0xf, not 0x10",
        ),
        (
            lambda: Register("X", 0, "rw", "", reset=1 << 32),
            "reset of X must be within its bits 0xffffffff, not 0x100000000",
        ),
        (
            lambda: with_fields(LOW, Field("next", 3, 2, "")),
            "fields of X must go up without sharing bits, but next does not",
        ),
        (lambda: with_fields(HIGH, LOW), "fields of X must go up without sharing bits, but low does not"),
        (lambda: with_fields(LOW, Field("low", 4, 1, "")), "fields of X must have names of their own"),
        (
            lambda: Field("Low", 0, 1, ""),
            "name of a field must be of small letters, digits and underscores, not 'Low'",
        ),
        (lambda: Field("low", 31, 2, ""), "field low must be within 32 bits, not of 2 bits from 31 on"),
        (lambda: Field("low", -1, 2, ""), "field low must be within 32 bits, not of 2 bits from -1 on"),
        (lambda: Field("low", 0, 0, ""), "field low must be within 32 bits, not of 0 bits from 0 on"),
        (lambda: with_fields(LOW, HIGH).pack(low=16), "X.low must fit 4 bits, not be 16"),
        (lambda: with_fields(LOW, HIGH).pack(high=-1), "X.high must fit 8 bits, not be -1"),
        (lambda: with_fields(LOW, HIGH).pack(none=0), "field of X must be one of low, high, not 'none'"),
        (lambda: register_map(Y4, Y8), "registers must have names of their own, not two times Y"),
        (lambda: register_map(X4, Y4), "offset of Y must be above 0x4 of X, not 0x4"),
        (lambda: register_map(Y8, X4), "offset of X must be above 0x8 of Y, not 0x4"),
        (
            lambda: capability_values(Params(), "1.2", DIGEST),
            "version must begin with three numbers, not be '1.2'",
        ),
        (lambda: capability_values(Params(), "1.256.0", DIGEST), "VERSION.minor must fit 8 bits, not be 256"),
        (
            lambda: capability_values(Params(), "1.2.3", "00"),
            "digest must be 64 small hex digits, not '00'",
        ),
    ],
)
def test_errors(build: Callable[[], Any], text: str) -> None:
    with raises_exactly(ValueError, text):
        build()


def test_capabilities() -> None:
    params = Params(
        rows=6,
        columns=8,
        interleave=5,
        drain=3,
        formats=("mx9", "mx4"),
        a_depth=32,
        outlier_depth=7,
        axi_width=256,
        address_bits=48,
        k_depth=512,
        a_slots=3,
        queue_depth=16,
        rounding="runtime",
    )
    values = capability_values(params, "12.3.4.dev5", DIGEST)
    assert values == {
        "ID": int.from_bytes(b"MXDT", "big"),
        "VERSION": 12 << 16 | 3 << 8 | 4,
        "CAP_ARRAY": 0x03050806,
        "CAP_BUS": 0x0D103020,
        "CAP_BUFFERS": 8 << 20 | 3 << 16 | 512,
        "CAP_OUTLIERS": 16 * 7 + 15,
        **{f"DIGEST{i}": 0x03020100 + 0x04040404 * i for i in range(8)},
    }
    without = capability_values(params.replace(formats=("mx6",), rounding="truncate"), "0.1.0", DIGEST)
    assert without["CAP_BUS"] == 0x02103020
    assert without["CAP_OUTLIERS"] == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_capabilities_of_presets(preset: str) -> None:
    """They are those registers whose value depends on the design, and the identity."""
    values = capability_values(PRESETS[preset], "0.1.0", DIGEST)
    assert set(values) == {"ID", *(name for name, register in REGISTERS.items() if register.reset is None)}
    assert all(REGISTERS[name].access == "ro" and not value & ~REGISTERS[name].mask for name, value in values.items())


def test_largest_design() -> None:
    """Every parameter at its largest fits its field."""
    params = Params(
        rows=128,
        columns=128,
        interleave=16,
        drain=128,
        a_depth=4096,
        outlier_depth=1024,
        axi_width=512,
        address_bits=64,
        k_depth=4096,
        a_slots=4,
        queue_depth=64,
    )
    values = capability_values(params, "0.1.0", DIGEST)
    assert REGISTERS["CAP_ARRAY"].unpack(values["CAP_ARRAY"]) == {
        "rows": 128,
        "columns": 128,
        "interleave": 16,
        "drain": 128,
    }
    assert REGISTERS["CAP_BUFFERS"].unpack(values["CAP_BUFFERS"]) == {"k_depth": 4096, "a_slots": 4, "store_lanes": 16}
    assert values["CAP_OUTLIERS"] == 16399


def test_space() -> None:
    assert max(register.offset for register in REGISTERS.values()) < SPACE_BYTES
