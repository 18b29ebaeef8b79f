"""Products of the published models: counted once more from the shapes, and against the counts that are known."""

import pytest

from mixdit_hw.mixes import MIXES, Mix, Segment
from mixdit_hw.workloads import ALIASES, MODELS, PAPER_MODELS, Gemm, get_model
from tests.support.errors import raises_exactly


def giga_macs(name: str, scope: str) -> str:
    """Multiplications of one sample and step in 10^9, to three digits."""
    return f"{sum(gemm.macs for gemm in MODELS[name].gemms(scope=scope)) / 2e9:.3f}"


@pytest.mark.parametrize(
    ("name", "blocks", "network"),
    [("DiT-XL-256", "118.380", "118.621"), ("DiT-XL-512", "524.254", "524.538")],
)
def test_known_counts(name: str, blocks: str, network: str) -> None:
    """The published counts of DiT-XL/2: 118.64 and 524.60 GFLOPs there, multiplications being what is counted."""
    assert (giga_macs(name, "blocks"), giga_macs(name, "network")) == (blocks, network)


@pytest.mark.parametrize(("name", "published"), [("DiT-S-256", 6.06), ("DiT-B-256", 23.01), ("DiT-L-256", 80.71)])
def test_published_sizes(name: str, published: float) -> None:
    """Table 4 of the DiT paper gives 6.06, 23.01 and 80.71, which hold some work outside of products too."""
    assert float(giga_macs(name, "network")) == pytest.approx(published, rel=2e-3)


def test_names() -> None:
    sizes = [f"DiT-{size}-{pixels}" for size in ("S", "B", "L", "XL") for pixels in (256, 512)]
    assert list(MODELS) == [*sizes, "PixArt-Sigma-1024", "SD3-512", "SD3-1024", "digits"]
    assert set(PAPER_MODELS) <= set(MODELS)
    assert set(ALIASES.values()) <= set(MODELS)
    assert get_model("dit-256") is MODELS["DiT-XL-256"]
    assert get_model("sd3-1024") is MODELS["SD3-1024"]
    with raises_exactly(ValueError, f"model must be one of {', '.join((*MODELS, *ALIASES))}, not 'DiT'"):
        get_model("DiT")


@pytest.mark.parametrize(
    ("name", "tokens", "head_size", "linear", "wide", "heads"),
    [
        ("DiT-XL-256", 256, 72, 0, 0, 3),
        ("DiT-XL-512", 1024, 72, 11, 46, 0),
        ("PixArt-Sigma-1024", 4096, 72, 11, 46, 0),
        ("SD3-512", 1024, 64, 15, 61, 12),
        ("SD3-1024", 4096, 64, 76, 307, 4),
    ],
)
def test_the_papers_mixes(name: str, tokens: int, head_size: int, linear: int, wide: int, heads: int) -> None:
    model = MODELS[name]
    assert (model.tokens, model.head_size) == (tokens, head_size)
    outliers = [model.mix.outlier_channels(k) for k in (model.hidden, 4 * model.hidden)]
    assert [*outliers, model.mix.heads] == [linear, wide, heads]


def by_name(name: str, **options) -> dict[str, Gemm]:
    gemms = MODELS[name].gemms(**options)
    named = {gemm.name: gemm for gemm in gemms}
    assert len(named) == len(gemms)
    return named


def shapes(gemms: dict[str, Gemm]) -> dict[str, tuple[int, ...]]:
    return {name: (g.m, g.k, g.n, g.count, g.times) for name, g in gemms.items()}


def test_dit() -> None:
    assert shapes(by_name("DiT-XL-256")) == {
        "q": (512, 1152, 1152, 1, 28),
        "k": (512, 1152, 1152, 1, 28),
        "v": (512, 1152, 1152, 1, 28),
        "qk.6x6": (256, 72, 256, 26, 28),
        "qk.9x9": (256, 72, 256, 6, 28),
        "av.6x6": (256, 256, 72, 26, 28),
        "av.9x6": (256, 256, 72, 6, 28),
        "proj": (512, 1152, 1152, 1, 28),
        "fc1": (512, 1152, 4608, 1, 28),
        "fc2": (512, 4608, 1152, 1, 28),
    }


def test_cross_attention() -> None:
    gemms = shapes(by_name("PixArt-Sigma-1024"))
    assert {name: shape for name, shape in gemms.items() if name.startswith("cross")} == {
        "cross.q": (8192, 1152, 1152, 1, 28),
        "cross.k": (600, 1152, 1152, 1, 28),
        "cross.v": (600, 1152, 1152, 1, 28),
        "cross.qk.6x6": (4096, 72, 300, 32, 28),
        "cross.av.6x6": (4096, 300, 72, 32, 28),
        "cross.proj": (8192, 1152, 1152, 1, 28),
    }
    assert by_name("PixArt-Sigma-1024", scope="network")["modulation"].times == 1


def test_joint_attention() -> None:
    gemms = shapes(by_name("SD3-1024"))
    assert gemms["qk.9x9"] == (4250, 64, 4250, 8, 24)
    assert gemms["av.6x6"] == (4250, 4250, 64, 40, 24)
    assert gemms["text.fc2"] == (308, 6144, 1536, 1, 24)
    network = shapes(by_name("SD3-1024", scope="network"))
    assert [network[f"text.{layer}"][-1] for layer in ("q", "proj", "fc1", "fc2", "modulation")] == [24, 23, 23, 23, 23]
    assert network["text.last_modulation"] == (2, 1536, 3072, 1, 1)


def test_outliers_in_place_and_gathered() -> None:
    in_place = by_name("DiT-XL-512")["fc2"]
    assert [(s.pair, s.k, s.blocks) for s in in_place.segments] == [("6x6", 4608, 288), ("9x6", 46, 3)]
    assert in_place.channels == (4562, 46)
    assert in_place.passes == (1,) * 288 + (2,) * 3
    gathered = by_name("DiT-XL-512", mix=Mix(outliers="1%", order="gathered"))["fc2"]
    assert [(s.pair, s.k, s.blocks) for s in gathered.segments] == [("6x6", 4562, 286), ("9x6", 46, 3)]
    assert gathered.channels == in_place.channels
    assert gathered.macs == in_place.macs
    assert gathered.digit_macs == in_place.digit_macs == 2048 * 1152 * (4562 + 2 * 46) * 28


def test_uniform_mixes() -> None:
    for name, passes in (("mx6", 1), ("mx9", 4)):
        assert {s.passes for g in MODELS["SD3-512"].gemms(MIXES[name]) for s in g.segments} == {passes}


def test_bytes() -> None:
    gemm = Gemm(name="g", layer="g", m=3, n=5, k=20, segments=(Segment(a="mx9", w="mx6", k=20),), count=7, times=2)
    assert (gemm.a_bytes, gemm.w_bytes, gemm.c_bytes) == (3 * 2 * 18, 5 * 2 * 12, 3 * 5 * 4)
    assert (gemm.instances, gemm.macs, gemm.digit_macs) == (14, 14 * 300, 28 * 300)
    other = gemm.swapped()
    assert (other.m, other.n, other.segments[0].pair, other.macs) == (5, 3, "6x9", gemm.macs)
    assert (other.a_bytes, other.w_bytes) == (gemm.w_bytes, gemm.a_bytes)


def test_other_work() -> None:
    work = MODELS["DiT-XL-256"].other_work()
    assert work.exponentials == 28 * 2 * 16 * 256 * 256
    assert work.normalised == 28 * 2 * 512 * 1152
    assert work.activated == 28 * 512 * 4608
    linear = 512 * (3 * 72 + 288)  # q's A serves k and v, then those of proj, fc1 and fc2
    narrow = 26 * (2 * 256 * 5 + 256 * 16 + 72 * 16)  # Q and K, A, V
    assert work.conversions == {"mx9": 28 * 6 * (2 * 256 * 5 + 256 * 16), "mx6": 28 * (linear + narrow + 6 * 72 * 16)}


def test_other_work_of_text() -> None:
    assert MODELS["PixArt-Sigma-1024"].other_work().normalised == 28 * 2 * 8192 * 1152
    assert MODELS["SD3-512"].other_work().normalised == 24 * 2 * (2048 + 308) * 1536


def test_other_work_of_the_network() -> None:
    model = MODELS["DiT-XL-256"]
    blocks, network = model.other_work(), model.other_work(scope="network")
    assert network.normalised - blocks.normalised == 512 * 1152  # before the final layer
    assert network.activated - blocks.activated == 2 * 1152 * (28 + 1 + 1)  # modulations, and inside of t_embedder
    assert network.exponentials == blocks.exponentials


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MODELS["SD3-512"].gemms(scope="all"), "scope must be one of blocks, network, not 'all'"),
        (lambda: MODELS["DiT-S-256"].gemms(Mix(heads=7)), "heads must be at most the 6 of DiT-S-256, not 7"),
        (
            lambda: MODELS["DiT-S-256"].gemms(Mix(outliers="385")),
            "outliers must be at most K=384 of q in DiT-S-256, not 385",
        ),
        (lambda: Gemm(name="g", layer="g", m=1, n=1, k=1, segments=()), "segments must be at least one, not none"),
        (
            lambda: Gemm(name="g", layer="g", m=1, n=1, k=9, segments=(Segment(a="mx6", w="mx6", k=8),)),
            "segments must hold the K=9 channels, not [8]",
        ),
    ],
)
def test_errors(make, text: str) -> None:
    with raises_exactly(ValueError, text):
        make()
    with raises_exactly(TypeError, "m must be an integer, not 1.0"):
        Gemm(name="g", layer="g", m=1.0, n=1, k=1, segments=())  # pyright: ignore[reportArgumentType]
