"""Products of a DiT under a policy: those of the published model where both say the same, and each layer's own."""

from dataclasses import replace

import pytest

from golden.dit import GEOMETRIES, DiTConfig
from golden.policy import PrecisionPolicy
from mixdit_hw.checkpoint import load_dit
from mixdit_hw.mixes import MIXES, Mix, Segment
from mixdit_hw.perf.memory import Memory
from mixdit_hw.perf.model import step_cost
from mixdit_hw.policy_work import config_of, describe_policy, merge_blocks, policy_cycles, policy_gemms
from mixdit_hw.presets import PRESETS
from mixdit_hw.workloads import MODELS, other_work
from tests.support.errors import raises_exactly
from tests.support.tiny_dit import CONFIG

XL = DiTConfig.named("DiT-XL/2")
LINEAR = [name for name in XL.linear_layers() if not PrecisionPolicy().is_exempt(name)]
EQUAL = {
    "mx6": (Mix(), PrecisionPolicy()),
    "mx9": (MIXES["mx9"], PrecisionPolicy(inlier_format="mx9", weight_format="mx9")),
    "heads": (
        Mix(heads=3),
        PrecisionPolicy(head_v_format="mx6", heads={f"blocks.{n}.attn": (0, n % 8 + 1, 15) for n in range(28)}),
    ),
    "outliers": (
        Mix(outliers=16, outlier_weight="mx9"),
        PrecisionPolicy(outlier_weight_format="mx9", outliers={name: tuple(range(3, 19)) for name in LINEAR}),
    ),
    "gathered": (
        Mix(outliers=16, inlier="mx4", order="gathered"),
        PrecisionPolicy(inlier_format="mx4", order="gathered", outliers={name: tuple(range(16)) for name in LINEAR}),
    ),
}


@pytest.mark.parametrize("scope", ["blocks", "network"])
@pytest.mark.parametrize("name", EQUAL)
def test_a_mix_as_a_policy(name: str, scope: str) -> None:
    """The model's q, k and v are one product here, which pays its start once and not three times; all else is equal."""
    mix, policy = EQUAL[name]
    theirs, ours = MODELS["DiT-XL-256"].gemms(mix, scope=scope), policy_gemms(XL, policy, scope=scope)
    for total in ("macs", "digit_macs"):
        assert sum(getattr(g, total) for g in ours) == sum(getattr(g, total) for g in theirs)
    for preset in ("small", "base"):
        params = PRESETS[preset]
        q = step_cost(params, [g for g in theirs if g.layer == "q"])
        cycles = step_cost(params, theirs).cycles - round(2 * q.parts["start"])
        assert policy_cycles(XL, policy, params, scope=scope) == cycles
        assert step_cost(params, ours).cycles == cycles


def test_each_product_of_a_tiny_model() -> None:
    """Formats and outliers are those of the layer's own name."""
    policy = PrecisionPolicy(
        weight_format="mx4",
        outliers={"blocks.0.mlp.fc1": (1, 2, 5), "blocks.1.attn.qkv": (0,)},
        heads={"blocks.1.attn": (1,)},
        head_v_format="mx6",
    )
    found = [(g.name, g.m, g.k, g.n, g.count, g.segments) for g in policy_gemms(CONFIG, policy, samples=3)]

    def segments(*parts: tuple[str, str, int]) -> tuple[Segment, ...]:
        return tuple(Segment(a=a, w=w, k=k) for a, w, k in parts)

    narrow, wide = ("mx6", "mx4", 8), ("mx9", "mx6", 1)
    assert found == [
        ("blocks.0.attn.qkv", 12, 8, 24, 1, segments(narrow)),
        ("blocks.0.attn.qk.6x6", 4, 4, 4, 6, segments(("mx6", "mx6", 4))),
        ("blocks.0.attn.av.6x6", 4, 4, 4, 6, segments(("mx6", "mx6", 4))),
        ("blocks.0.attn.proj", 12, 8, 8, 1, segments(narrow)),
        ("blocks.0.mlp.fc1", 12, 8, 16, 1, segments(narrow, ("mx9", "mx6", 3))),
        ("blocks.0.mlp.fc2", 12, 16, 8, 1, segments(("mx6", "mx4", 16))),
        ("blocks.1.attn.qkv", 12, 8, 24, 1, segments(narrow, wide)),
        ("blocks.1.attn.qk.6x6", 4, 4, 4, 3, segments(("mx6", "mx6", 4))),
        ("blocks.1.attn.qk.9x9", 4, 4, 4, 3, segments(("mx9", "mx9", 4))),
        ("blocks.1.attn.av.6x6", 4, 4, 4, 3, segments(("mx6", "mx6", 4))),
        ("blocks.1.attn.av.9x6", 4, 4, 4, 3, segments(("mx9", "mx6", 4))),
        ("blocks.1.attn.proj", 12, 8, 8, 1, segments(narrow)),
        ("blocks.1.mlp.fc1", 12, 8, 16, 1, segments(narrow)),
        ("blocks.1.mlp.fc2", 12, 16, 8, 1, segments(("mx6", "mx4", 16))),
    ]


def test_the_network() -> None:
    """Conditioning has a row a sample; what is exempt counts in MX9, what is not has the policy's formats."""
    found = {g.name: g for g in policy_gemms(CONFIG, PrecisionPolicy(exempt=("final_layer.*",)), scope="network")}
    assert len(found) == 19
    rows = {name: g.m for name, g in found.items() if g.layer in ("embedder", "modulation", "final")}
    assert rows == {
        "x_embedder.proj": 8,
        "t_embedder.mlp.0": 2,
        "t_embedder.mlp.2": 2,
        "blocks.0.adaLN_modulation.1": 2,
        "blocks.1.adaLN_modulation.1": 2,
        "final_layer.adaLN_modulation.1": 2,
        "final_layer.linear": 8,
    }
    assert found["t_embedder.mlp.0"].segments == (Segment(a="mx6", w="mx6", k=256),)
    assert found["final_layer.linear"].segments == (Segment(a="mx9", w="mx9", k=8),)


def test_exempt_products_of_blocks_count_in_mx9() -> None:
    found = {g.name: g for g in policy_gemms(CONFIG, PrecisionPolicy(exempt=("*.mlp.fc1", "*.qk.0")))}
    assert found["blocks.1.mlp.fc1"].segments == (Segment(a="mx9", w="mx9", k=8),)
    assert (found["blocks.0.attn.qk.6x6"].count, found["blocks.0.attn.qk.9x9"].count) == (2, 2)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_published_sizes(name: str) -> None:
    config = DiTConfig.named(f"DiT-{name}/2")
    for scope in ("blocks", "network"):
        theirs = MODELS[f"DiT-{name}-256"].gemms(Mix(), scope=scope)
        assert sum(g.macs for g in policy_gemms(config, PrecisionPolicy(), scope=scope)) == sum(g.macs for g in theirs)


def test_geometries_of_models() -> None:
    for size in GEOMETRIES:
        for pixels in (256, 512):
            config = DiTConfig.named(f"DiT-{size}/2", input_size=pixels // 8)
            assert config_of(MODELS[f"DiT-{size}-{pixels}"]) == config
    assert replace(config_of(MODELS["digits"]), classes=10) == load_dit()[0].config
    for name in ("PixArt-Sigma-1024", "SD3-512"):
        with raises_exactly(ValueError, f"model must be a DiT, not {name}"):
            config_of(MODELS[name])


@pytest.mark.parametrize("scope", ["blocks", "network"])
@pytest.mark.parametrize("name", EQUAL)
def test_other_work_is_that_of_the_model(name: str, scope: str) -> None:
    mix, policy = EQUAL[name]
    work = MODELS["DiT-XL-256"].other_work(mix, scope=scope)
    assert other_work(policy_gemms(XL, policy, scope=scope)) == work


def test_description() -> None:
    tiny = "2 blocks of 8, 2 heads of 4, 4 tokens"
    assert describe_policy(CONFIG, PrecisionPolicy(weight_format="mx4")) == f"{tiny}; MX6, weights MX4"
    policy = PrecisionPolicy(
        outliers={"blocks.0.mlp.fc1": (1, 2), "x_embedder.proj": (0,)}, heads={"blocks.0.attn": (1,)}, order="gathered"
    )
    text = "2 of 80 channels in MX9 by MX6, gathered; 1 of 4 heads in MX9, V in MX9"
    assert describe_policy(CONFIG, policy) == f"{tiny}; MX6, weights MX6; {text}"


def test_merged_blocks_are_the_same_work() -> None:
    policy = PrecisionPolicy(outliers={f"blocks.{n}.mlp.fc1": (n,) for n in (0, 1, 2, 5)})
    config = replace(CONFIG, depth=8)
    gemms = policy_gemms(config, policy, scope="network")
    merged = merge_blocks(gemms)
    assert [(g.name, g.times) for g in merged if g.layer in ("fc1", "proj", "final")] == [
        ("blocks.0-7.attn.proj", 8),
        ("blocks.0-2,5.mlp.fc1", 4),
        ("blocks.3-4,6-7.mlp.fc1", 4),
        ("final_layer.linear", 1),
    ]
    params, memory = PRESETS["tiny"], Memory(bandwidth=8, latency=30)
    cycles = step_cost(params, gemms, memory).cycles
    assert step_cost(params, merged, memory).cycles == cycles
    assert policy_cycles(config, policy, params, scope="network", memory=memory) == cycles


def test_fewer_samples_take_fewer_cycles() -> None:
    two, one = (policy_cycles(XL, PrecisionPolicy(), PRESETS["base"], samples) for samples in (2, 1))
    assert one < two < 2 * one + 1000


@pytest.mark.parametrize(
    ("policy", "options", "text"),
    [
        ({}, {"scope": "all"}, "scope must be one of blocks, network, not 'all'"),
        ({}, {"samples": 0}, "samples must be at least 1, not 0"),
        ({"outliers": {"p": (1,)}}, {}, "outliers must name layers of the model, not 'p'"),
        ({"heads": {"blocks.0.attn": (2,)}}, {}, "heads of 'blocks.0.attn' must be 0 to 1, not 2"),
    ],
)
def test_bad_arguments(policy: dict, options: dict, text: str) -> None:
    with raises_exactly(ValueError, text):
        policy_gemms(CONFIG, PrecisionPolicy(**policy), **options)


def test_a_design_without_a_format() -> None:
    with pytest.raises(ValueError, match=r"^formats must hold mx6, which the products need, not only mx9$"):
        policy_cycles(CONFIG, PrecisionPolicy(), PRESETS["tiny"].replace(formats=("mx9",)))
