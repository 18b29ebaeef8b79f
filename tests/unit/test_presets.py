"""The presets: names, sizes, and what they promise."""

import pytest

from mixdit_hw.presets import PRESETS, get_preset


def test_sizes():
    sizes = {name: (p.rows, p.columns) for name, p in PRESETS.items()}
    assert sizes == {"tiny": (2, 2), "small": (4, 4), "edge": (8, 8), "base": (16, 16)}


@pytest.mark.parametrize("name", PRESETS)
def test_preset(name):
    """Each supports all formats, and has room for operands that keep it busy and for two tiles' results."""
    params = get_preset(name)
    assert params is PRESETS[name]
    assert params.formats == ("mx9", "mx6", "mx4")
    assert (params.a_depth, params.w_depth) == (params.full_rate_a_depth, params.full_rate_w_depth)
    assert params.c_depth >= 2 * params.tile_beats
    assert type(params).from_toml(params.to_toml()) == params


@pytest.mark.parametrize("name", ["huge", "", None, 2, ["tiny"]])
def test_unknown(name):
    with pytest.raises(ValueError, match=r"^preset must be one of tiny, small, edge, base, not ") as error:
        get_preset(name)
    assert str(error.value).endswith(f", not {name!r}")
