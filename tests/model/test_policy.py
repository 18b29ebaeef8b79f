"""golden.policy: formats by product, calibration, and products equal to golden.gemm's, bit for bit."""

import json
import re

import numpy as np
import pytest

import golden
from golden import policy as policy_module
from golden.capture import Peaks
from golden.dit import DiT
from golden.policy import FILE_FORMAT, MXGemm, PrecisionPolicy, calibrate
from tests.support.tiny_dit import CONFIG, tiny_inputs, tiny_state

LAYER, HEAD = "blocks.0.mlp.fc1", "blocks.0.attn.qk.1"


def operands(seed, k=40):
    """Operands of a product whose channels 3 and 17 are far larger than the others."""
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((6, k), np.float32)
    a[:, [3, 17]] *= 50
    return a, generator.standard_normal((k, 5), np.float32)


def body(fields):
    """JSON of a policy with these fields."""
    return f'{{"format": "mixdit-policy-1", {fields}}}'


def words(x):
    """Bit patterns, which tell -0 from 0 and NaN from NaN."""
    return x.view(np.uint32).tolist()


def formats(tensor):
    """Segments as (format name, length)."""
    return [(s.format.name, s.length) for s in tensor.segments]


@pytest.mark.parametrize("fmt", ["mx9", "mx6", "mx4"])
def test_uniform(fmt):
    a, w = operands(1)
    gemm = MXGemm(PrecisionPolicy(inlier_format=fmt, weight_format=fmt))
    expected = golden.gemm(golden.quantize(a, fmt, axis=1), golden.quantize(w, fmt, axis=0))
    for name in (LAYER, HEAD):
        assert words(gemm(name, a, w)) == words(expected)


@pytest.mark.parametrize("order", ["in-place", "gathered"])
def test_outliers(order):
    a, w = operands(2)
    policy = PrecisionPolicy(outliers={LAYER: (17, 3)}, outlier_weight_format="mx9", order=order, rounding="truncate")
    inliers = 40 if order == "in-place" else 38
    assert formats(policy.quantize_a(LAYER, a)) == [("mx6", inliers), ("mx9", 2)]
    assert formats(policy.quantize_w(LAYER, w)) == [("mx6", inliers), ("mx9", 2)]
    options = {"order": order, "rounding": "truncate"}
    expected = golden.gemm(
        golden.split_outliers(a, [3, 17], "mx6", "mx9", axis=1, **options),
        golden.repeat_outliers(w, [3, 17], "mx6", "mx9", axis=0, **options),
    )
    assert words(MXGemm(policy)(LAYER, a, w)) == words(expected)


def test_outliers_lose_less():
    a, w = operands(3)
    exact = golden.reference_gemm(a, w)
    narrow = golden.sqnr_db(exact, MXGemm(PrecisionPolicy())(LAYER, a, w))
    mixed = golden.sqnr_db(exact, MXGemm(PrecisionPolicy(outliers={LAYER: (3, 17)}))(LAYER, a, w))
    assert mixed > narrow


def test_heads():
    """Head 1 is MX9 on both sides of both products; head 0, and head 1 of another block, are not."""
    policy = PrecisionPolicy(heads={"blocks.0.attn": (1,)}, weight_format="mx4")
    a, w = operands(4)
    for name, fmt in ((HEAD, "mx9"), ("blocks.0.attn.av.1", "mx9"), ("blocks.0.attn.qk.0", "mx6")):
        assert formats(policy.quantize_a(name, a)) == [(fmt, 40)]
        assert formats(policy.quantize_w(name, w)) == [(fmt, 40)]
    assert formats(policy.quantize_w("blocks.1.attn.qk.1", w)) == [("mx6", 40)]
    assert formats(policy.quantize_w(LAYER, w)) == [("mx4", 40)]


def test_v_of_wide_heads():
    """V alone has its own format, and only in the wide heads."""
    policy = PrecisionPolicy(heads={"blocks.0.attn": (1,)}, inlier_format="mx4", head_v_format="mx6")
    a, w = operands(4)
    for name, fmts in ((HEAD, "99"), ("blocks.0.attn.av.1", "96"), ("blocks.0.attn.av.0", "44")):
        assert formats(policy.quantize_a(name, a)) == [(f"mx{fmts[0]}", 40)]
        assert formats(policy.quantize_w(name, w)) == [(f"mx{fmts[1]}", 40)]
        assert policy.segments(name, 40) == ((f"mx{fmts[0]}", f"mx{fmts[1]}", 40),)


@pytest.mark.parametrize("order", ["in-place", "gathered"])
@pytest.mark.parametrize("channels", [(), (3, 17), tuple(range(40))])
def test_segments_are_the_stored_order(order, channels):
    policy = PrecisionPolicy(outliers={LAYER: channels}, weight_format="mx4", outlier_weight_format="mx9", order=order)
    a, w = operands(2)
    stored = zip(formats(policy.quantize_a(LAYER, a)), formats(policy.quantize_w(LAYER, w)), strict=True)
    assert policy.segments(LAYER, 40) == tuple((fa, fw, k) for (fa, k), (fw, _) in stored)


def test_segments_of_a_wrong_product():
    policy = PrecisionPolicy(outliers={LAYER: (3, 17)})
    assert policy.segments("x_embedder.proj", 40) is None
    with pytest.raises(ValueError, match=f"^outliers of '{LAYER}' must be 0 to 16, not 17$"):
        policy.segments(LAYER, 17)
    with pytest.raises(ValueError, match=r"^k must be at least 1, not 0$"):
        policy.segments(LAYER, 0)
    with pytest.raises(TypeError, match=r"^k must be an integer, not 4.5$"):
        policy.segments(LAYER, 4.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "exempt"),
    [
        ("x_embedder.proj", True),
        ("t_embedder.mlp.2", True),
        ("blocks.3.adaLN_modulation.1", True),
        ("final_layer.linear", True),
        ("blocks.3.attn.qkv", False),
        ("blocks.3.attn.av.0", False),
        ("blocks.3.attn.proj", False),
        ("blocks.3.mlp.fc2", False),
    ],
)
def test_exempt(name, exempt):
    a, w = operands(5)
    assert PrecisionPolicy().is_exempt(name) is exempt
    assert np.array_equal(MXGemm(PrecisionPolicy())(name, a, w), a @ w) is exempt


def test_only_read_only_weights_are_kept(monkeypatch):
    converted = []
    original = policy_module.repeat_outliers

    def count(w, *args, **options):
        converted.append(w)
        return original(w, *args, **options)

    monkeypatch.setattr(policy_module, "repeat_outliers", count)
    gemm, (a, w) = MXGemm(PrecisionPolicy()), operands(6)
    first = gemm(LAYER, a, w)
    w *= 2
    assert np.array_equal(gemm(LAYER, a, w), 2 * first)
    assert len(converted) == 2
    w.flags.writeable = False
    gemm(LAYER, a, w)
    gemm(LAYER, a, w)
    assert len(converted) == 3
    other = w.copy()
    other.flags.writeable = False
    gemm(LAYER, a, other)
    assert len(converted) == 4


def test_whole_model():
    """A model under a policy is the model with each product replaced; wide formats come nearer to float32."""
    model, inputs = DiT(tiny_state(7), heads=2), tiny_inputs(2, 7)
    exact = model(*inputs)
    errors = []
    for fmt in ("mx9", "mx6", "mx4"):
        policy = PrecisionPolicy(inlier_format=fmt, weight_format=fmt)

        def product(name, a, w, /, policy=policy):
            if policy.is_exempt(name):
                return a @ w
            return golden.gemm(policy.quantize_a(name, a), policy.quantize_w(name, w))

        y = model(*inputs, MXGemm(policy))
        assert words(y) == words(model(*inputs, product))
        errors.append(float(np.abs(y - exact).max()))
    assert 0 < errors[0] < errors[1] < errors[2]


def calibrated(amount: int | str, heads: int | str = 0, **settings):
    """Peaks of a run of a tiny model, and the policy they give."""
    peaks = Peaks()
    DiT(tiny_state(8), heads=2)(*tiny_inputs(2, 8), peaks)
    return peaks, calibrate(peaks, amount, heads, **settings)


def test_calibrate_ranks_peaks():
    peaks, policy = calibrated(2, heads=1, weight_format="mx9")
    assert policy.weight_format == "mx9"
    assert set(policy.outliers) == {
        f"blocks.{n}.{part}" for n in range(2) for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    for name, channels in policy.outliers.items():
        assert list(channels) == sorted(np.argsort(-peaks.channels[name], kind="stable")[:2])
    for name, heads in policy.heads.items():
        assert list(heads) == [int(np.argmax(peaks.heads[name]))]
    policy.check(CONFIG)


def test_calibrate_by_percentage():
    _, policy = calibrated("20%", "50%", exempt=("*.mlp.fc1",))
    assert {name: len(c) for name, c in policy.outliers.items() if name.startswith("blocks.1")} == {
        "blocks.1.adaLN_modulation.1": 1,  # floor(0.2 * 8)
        "blocks.1.attn.qkv": 1,
        "blocks.1.attn.proj": 1,
        "blocks.1.mlp.fc2": 3,  # floor(0.2 * 16)
    }
    assert [len(h) for h in policy.heads.values()] == [1, 1]


def test_calibrate_bad_amount():
    with pytest.raises(ValueError, match=r"^amount must be 0 to 8 channels, not 9$"):
        calibrated(9)


def test_json():
    _, policy = calibrated(
        2, heads=1, rounding="half-away", order="gathered", head_v_format="mx6", about={"a": "b\u00e9"}
    )
    text = policy.to_json()
    assert PrecisionPolicy.from_json(text) == policy
    assert text == PrecisionPolicy.from_json(text).to_json()
    plain = json.loads(text)
    assert list(plain) == ["format", *policy.to_dict()]
    assert plain == {"format": FILE_FORMAT, **policy.to_dict()}
    assert text.splitlines()[1] == '  "format": "mixdit-policy-1",'
    assert json.loads(PrecisionPolicy(outliers={"p": (2, 1)}).to_json())["outliers"] == {"p": [1, 2]}


def test_json_of_the_least():
    """What is missing has its default."""
    assert PrecisionPolicy.from_json('{"format": "mixdit-policy-1"}') == PrecisionPolicy()
    assert PrecisionPolicy.from_json(PrecisionPolicy().to_json()) == PrecisionPolicy()


def test_policy_is_frozen():
    source = {"p": (1,)}
    policy = PrecisionPolicy(outliers=source)
    source["p"] = (2,)
    assert policy.outliers["p"] == (1,)
    with pytest.raises(TypeError, match="does not support item assignment"):
        policy.outliers["p"] = (3,)  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"inlier_format": "mx5"}, ValueError, "inlier_format must be one of mx9, mx6, mx4, not 'mx5'"),
        ({"weight_format": 6}, TypeError, "weight_format must be a string, not 6"),
        (
            {"rounding": "up"},
            ValueError,
            "rounding must be one of nearest-even, truncate, half-away, not 'up'",
        ),
        ({"order": "sorted"}, ValueError, "order must be one of in-place, gathered, not 'sorted'"),
        ({"head_v_format": "mx3"}, ValueError, "head_v_format must be one of mx9, mx6, mx4, not 'mx3'"),
        ({"outliers": [1]}, TypeError, "outliers must map names to indices, not [1]"),
        ({"outliers": {"p": "12"}}, TypeError, "outliers of 'p' must be a list of indices, not '12'"),
        ({"outliers": {"p": [1.5]}}, TypeError, "outliers of 'p' must be an integer, not 1.5"),
        ({"heads": {"p": [1, 1]}}, ValueError, "heads of 'p' must be distinct and not negative, not [1, 1]"),
        ({"heads": {"p": [-1]}}, ValueError, "heads of 'p' must be distinct and not negative, not [-1]"),
        (
            {"heads": {"p": [1 << 24]}},
            ValueError,
            "heads of 'p' must be at most 16777215, not 16777216",
        ),
        ({"outliers": {3: [1]}}, TypeError, "outliers must map names to indices, not {3: [1]}"),
        ({"exempt": "*"}, TypeError, "exempt must be a list of patterns, not '*'"),
        ({"exempt": 5}, TypeError, "exempt must be a list of patterns, not 5"),
        ({"about": "text"}, TypeError, "about must map keys to text, not 'text'"),
        ({"about": {"model": 3}}, TypeError, "about must map keys to text, not 'model' to 3"),
        (
            {"about": {"model": "a\nb"}},
            ValueError,
            "about must hold printable text of at most 1000 characters, not 'a\\nb'",
        ),
        (
            {"about": {"x" * 1001: ""}},
            ValueError,
            f"about must hold printable text of at most 1000 characters, not '{'x' * 56}...",
        ),
        (
            {"outlier": {}},
            ValueError,
            f"unknown policy field 'outlier'; known are {', '.join(PrecisionPolicy().to_dict())}",
        ),
    ],
)
def test_bad_policy(change, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        PrecisionPolicy.from_dict(change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "policy must be JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[]", "policy must be a JSON object, not []"),
        ("{}", "format must be 'mixdit-policy-1', not None"),
        ('{"format": "mixdit-policy-2"}', "format must be 'mixdit-policy-1', not 'mixdit-policy-2'"),
        ('{"format": 1}', "format must be 'mixdit-policy-1', not 1"),
        ('{"format": "a", "format": "b"}', "policy must not have the key 'format' twice in an object"),
        (body('"outliers": {"p": [1], "p": [2]}'), "policy must not have the key 'p' twice in an object"),
        (body('"order": NaN'), "policy must not hold NaN, which is no JSON"),
        (body('"order": -Infinity'), "policy must not hold -Infinity, which is no JSON"),
        (body('"heads": {"p": [1e999]}'), "heads of 'p' must be an integer, not inf"),
        (body('"heads": {"p": [true]}'), "heads of 'p' must be an integer, not True"),
        (body(f'"heads": {{"p": [{"1" * 5000}]}}'), "policy must not hold a number of 5000 digits"),
        (body('"heads": {"p": [99999999999]}'), "heads of 'p' must be at most 16777215, not 99999999999"),
        (
            body('"weights": "mx6"'),
            f"unknown policy field 'weights'; known are {', '.join(PrecisionPolicy().to_dict())}",
        ),
        (body(f'"outliers": {"[" * 100_000}{"]" * 100_000}'), "policy must not nest so deeply"),
        (body(f'"outliers": {[0] * 1000}'), f"outliers must map names to indices, not [{'0, ' * 18}0,..."),
        (body('"outliers": null'), "outliers must map names to indices, not None"),
    ],
)
def test_bad_json(text, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        PrecisionPolicy.from_json(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"outliers": {"blocks.2.mlp.fc1": (0,)}}, "outliers must name layers of the model, not 'blocks.2.mlp.fc1'"),
        ({"outliers": {LAYER: (0, 8)}}, f"outliers of {LAYER!r} must be 0 to 7, not 8"),
        ({"heads": {"blocks.1.attn": (2,)}}, "heads of 'blocks.1.attn' must be 0 to 1, not 2"),
        ({"heads": {HEAD: (0,)}}, f"heads must name layers of the model, not {HEAD!r}"),
    ],
)
def test_policy_for_another_model(change, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        PrecisionPolicy(**change).check(CONFIG)
