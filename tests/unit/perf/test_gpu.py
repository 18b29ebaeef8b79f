"""The GPU's side: peaks, roofline by hand, and measured files that are not trusted."""

import json

import pytest

from mixdit_hw.mixes import Segment
from mixdit_hw.perf.gpu import FORMAT, RTX_3090, Measured, assumed_seconds, parse_measured, roofline_seconds
from mixdit_hw.workloads import MODELS, Gemm
from tests.support.errors import raises_exactly

CONTENT = {"format": FORMAT, "device": "d", "software": "s", "models": {"DiT-XL-256": {"step_s": 0.5}}}


def gemm(layer: str, m: int, n: int, k: int, *, count: int = 1) -> Gemm:
    segments = (Segment(a="mx6", w="mx6", k=k),)
    return Gemm(name=layer, layer=layer, m=m, n=n, k=k, segments=segments, count=count)


def test_assumed() -> None:
    gemms = MODELS["DiT-XL-256"].gemms()
    seconds = assumed_seconds(gemms, 0.5, RTX_3090.flops)
    assert seconds == 2 * sum(g.macs for g in gemms) / 35.6e12
    assert f"{1e3 * seconds:.2f}" == "13.30"
    with raises_exactly(ValueError, "utilisation must be more than 0 and at most 1, not 1.5"):
        assumed_seconds(gemms, 1.5, 1e12)


def test_roofline() -> None:
    """A large product is bound by the peak, one of few rows by its weights, attention by what fusion leaves."""
    large, thin = gemm("fc1", 4096, 4096, 4096, count=3), gemm("fc1", 2, 1000, 500)
    assert roofline_seconds([large], RTX_3090, 71.2e12) == 2 * 3 * 4096**3 / 71.2e12
    assert roofline_seconds([thin], RTX_3090, 71.2e12) == 2 * (1000 + 500_000 + 2000) / 936e9
    narrow = gemm("qk", 256, 256, 1, count=4), gemm("av", 256, 1, 256, count=4)
    assert roofline_seconds(narrow, RTX_3090, 1e15) == pytest.approx(4 * 2 * 4 * 256 / 936e9)


def test_roofline_is_a_bound() -> None:
    for model in MODELS.values():
        gemms = model.gemms()
        assert roofline_seconds(gemms, RTX_3090, 71.2e12) >= assumed_seconds(gemms, 1.0, 71.2e12) * (1 - 1e-12)


def test_measured() -> None:
    text = json.dumps(CONTENT | {"more": 1})
    assert parse_measured(text) == Measured(device="d", software="s", seconds={"DiT-XL-256": 0.5})


NO_TIME = "step_s of 'x' must be a number of seconds, from a billionth to a million, not"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": 1}, f"format must be '{FORMAT}', not 1"),
        ({"device": ""}, "device must be a name of 1 to 200 characters, not ''"),
        ({"device": "a\nb"}, "device must be a name of 1 to 200 characters, not 'a\\nb'"),
        ({"software": 3}, "software must be a name of 1 to 200 characters, not 3"),
        ({"models": {}}, "models must be an object of 1 to 100 models, not {}"),
        ({"models": [1]}, "models must be an object of 1 to 100 models, not [1]"),
        ({"models": {"x": 1}}, f"{NO_TIME} None"),
        ({"models": {"x": {"step_s": 0}}}, f"{NO_TIME} 0"),
        ({"models": {"x": {"step_s": 1e-300}}}, f"{NO_TIME} 1e-300"),
        ({"models": {"x": {"step_s": True}}}, f"{NO_TIME} True"),
        ({"models": {"x": {"step_s": float("nan")}}}, f"{NO_TIME} nan"),
        ({"models": {"x": {"step_s": float("inf")}}}, f"{NO_TIME} inf"),
        ({"models": {"x": {"step_s": 10**400}}}, f"{NO_TIME} 1{'0' * 56}..."),
    ],
)
def test_wrong_files(change: dict, error: str) -> None:
    with raises_exactly(ValueError, error):
        parse_measured(json.dumps(CONTENT | change))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[]", f"format must be '{FORMAT}', not []"),
        ("", "must be JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "must not nest so deeply"),
    ],
)
def test_no_such_json(text: str, error: str) -> None:
    with raises_exactly(ValueError, error):
        parse_measured(text)
