import pytest

from golden.formats import FORMATS, MX4, MX6, MX9, get_format


@pytest.mark.parametrize(
    ("fmt", "name", "code", "element_bits", "max_magnitude", "block_bits", "block_bytes", "digits"),
    [
        (MX9, "mx9", 2, 8, 127, 144, 18, 2),
        (MX6, "mx6", 1, 5, 15, 96, 12, 1),
        (MX4, "mx4", 0, 3, 3, 64, 8, 1),
    ],
)
def test_geometry(fmt, name, code, element_bits, max_magnitude, block_bits, block_bytes, digits):
    assert fmt.name == str(fmt) == name
    assert fmt.code == code
    assert fmt.element_bits == element_bits
    assert fmt.max_magnitude == max_magnitude
    assert fmt.block_bits == block_bits
    assert fmt.block_bytes == block_bytes
    assert fmt.digits == digits


def test_lookup_by_name_or_itself():
    assert list(FORMATS) == ["mx9", "mx6", "mx4"]
    for name, fmt in FORMATS.items():
        assert get_format(name) is fmt
        assert get_format(fmt) is fmt


@pytest.mark.parametrize("wrong", ["mx5", "MX6", "", None, 6, ["mx6"]])
def test_unknown_format(wrong):
    with pytest.raises(ValueError, match=r"^format") as error:
        get_format(wrong)
    assert str(error.value) == f"format must be one of mx9, mx6, mx4, not {wrong!r}"
