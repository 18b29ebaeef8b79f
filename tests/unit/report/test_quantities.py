"""Quantities from very small to very large."""

import pytest

from mixdit_hw.report.quantities import cycles, macs, megabytes, milliseconds, number, speedup


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(1234.567, 1), "1,234.6"),
        (number(0.1, 1), "0.1"),
        (number(0.0999, 1), "0.0999"),
        (number(0.0, 1), "0"),
        (milliseconds(1.5), "1,500.000 ms"),
        (milliseconds(1e-4), "0.100 ms"),
        (milliseconds(49e-9), "4.9e-05 ms"),
        (cycles(49), "49"),
        (cycles(999_999), "999,999"),
        (cycles(277_620_000), "277.62 M"),
        (macs(1024), "1,024"),
        (macs(236_784_000_000), "236.8 G"),
        (megabytes(96), "96 bytes"),
        (megabytes(1_500_000), "1.5 MB"),
        (speedup(3.163), "3.16"),
        (speedup(0.104), "0.10"),
        (speedup(0.00442), "0.00442"),
        (speedup(4e-9), "4e-09"),
    ],
)
def test_text(text: str, expected: str) -> None:
    assert text == expected
