"""Matrix products of diffusion transformers, derived from their published shapes.

A denoising step with classifier-free guidance runs the network on two samples, with and without the condition. Linear
layers multiply the tokens of both at once; attention is one product for each sample and head.

Sources of the shapes
---------------------
DiT
    Peebles and Xie, "Scalable Diffusion Models with Transformers", ICCV 2023, table 1 and the reference code:
    sizes S, B, L, XL; latents of 1/8 of the image with 4 channels; patch 2; MLP ratio 4; 250 sampling steps.
PixArt-Sigma
    Chen et al., "PixArt-Sigma", ECCV 2024, and the published configuration PixArt-Sigma-XL-2-1024-MS: DiT-XL/2 with
    cross-attention to 300 text tokens of 4096 channels, one modulation for all blocks; 20 steps.
SD3-medium
    Esser et al., "Scaling Rectified Flow Transformers", ICML 2024, and the published configuration
    stable-diffusion-3-medium: depth 24, 24 heads of 64, latents of 16 channels, text of 77 CLIP and 77 T5 tokens of
    4096 channels and a pooled one of 2048; image and text attend to each other jointly; 28 steps.
digits
    examples/digits.safetensors, with the precisions and steps of ``mixdit demo``.
Precisions
    MixDiT (Kim, Hwang, Oh, Park; IEEE Computer Architecture Letters 24(1), 2025): shares of outlier channels and
    heads in MX9 per model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from golden.formats import FORMATS

from .mixes import Mix, Segment, check_positive

SAMPLES = 2  # of a step with classifier-free guidance
FREQUENCIES = 256  # width of the sinusoidal timestep embedding
RESULT_BYTES = 4  # of an FP32 word
SCOPES = ("blocks", "network")


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """One product C = A W, as often as a denoising step has it.

    Parameters
    ----------
    name, layer
        What is multiplied, and the kind of layer it belongs to.
    m, n, k
        C is M x N; K is the number of channels, each counted once.
    segments
        K in stored order. With outliers in place, the first segment has all K channels and outliers follow once more.
    count
        Instances back to back: one for each sample and head.
    times
        How often a step does all of this: transformer blocks.
    weights
        Whether W is stored weights; otherwise it is made by the step and must be converted.
    shared
        Whether A has been converted for a product before.
    """

    name: str
    layer: str
    m: int
    n: int
    k: int
    segments: tuple[Segment, ...]
    count: int = 1
    times: int = 1
    weights: bool = True
    shared: bool = False

    def __post_init__(self) -> None:
        for name in ("m", "n", "k", "count", "times"):
            check_positive(name, getattr(self, name))
        if not self.segments:
            raise ValueError("segments must be at least one, not none")
        if not self.k <= sum(s.k for s in self.segments) or self.k < sum(s.k for s in self.segments[1:]):
            raise ValueError(f"segments must hold the K={self.k} channels, not {[s.k for s in self.segments]}")

    @property
    def blocks(self) -> int:
        """K blocks of one instance."""
        return sum(s.blocks for s in self.segments)

    @property
    def passes(self) -> tuple[int, ...]:
        """Digit passes of each K block, in stored order."""
        return tuple(p for s in self.segments for p in [s.passes] * s.blocks)

    @property
    def total_passes(self) -> int:
        """Digit passes of all K blocks."""
        return sum(s.blocks * s.passes for s in self.segments)

    @property
    def instances(self) -> int:
        """Instances in a step, count * times."""
        return self.count * self.times

    @property
    def macs(self) -> int:
        """Multiplications of a step, M*N*K for each instance: neither padding nor zeros in place of outliers."""
        return self.m * self.n * self.k * self.instances

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each segment, every channel counted once: outliers belong to their own segment."""
        rest = tuple(s.k for s in self.segments[1:])
        return (self.k - sum(rest), *rest)

    @property
    def digit_macs(self) -> int:
        """Multiplications of a step in units of an MX6 one: an MX9 by MX6 one counts 2, MX9 by MX9 4."""
        weighted = sum(k * s.passes for k, s in zip(self.channels, self.segments, strict=True))
        return self.m * self.n * weighted * self.instances

    @property
    def a_bytes(self) -> int:
        """Bytes of one instance's A in packed blocks."""
        return self.m * sum(s.blocks * s.formats[0].block_bytes for s in self.segments)

    @property
    def w_bytes(self) -> int:
        """Bytes of one instance's W in packed blocks."""
        return self.n * sum(s.blocks * s.formats[1].block_bytes for s in self.segments)

    @property
    def c_bytes(self) -> int:
        """Bytes of one instance's C in FP32."""
        return self.m * self.n * RESULT_BYTES

    def swapped(self) -> "Gemm":
        """The same product with the operands' roles exchanged: the transpose of C is computed."""
        segments = tuple(Segment(a=s.w, w=s.a, k=s.k) for s in self.segments)
        return replace(self, m=self.n, n=self.m, segments=segments)


@dataclass(frozen=True, kw_only=True)
class OtherWork:
    """What a step does beside its matrix products.

    Parameters
    ----------
    exponentials
        Of softmax: one for each element of the scores.
    normalised
        Elements that layer normalisations take.
    activated
        Elements that go through GELU or SiLU.
    conversions
        Blocks of 16 converted from FP32, by format; weights are packed before.
    """

    exponentials: int
    normalised: int
    activated: int
    conversions: dict[str, int]


def other_work(gemms: Sequence[Gemm]) -> OtherWork:
    """Work of a denoising step beside these products of it."""
    conversions = dict.fromkeys(FORMATS, 0)
    for gemm in gemms:
        for segment in gemm.segments:
            if not gemm.shared:
                conversions[segment.a] += gemm.m * segment.blocks * gemm.instances
            if not gemm.weights:
                conversions[segment.w] += gemm.n * segment.blocks * gemm.instances
    normalised = sum(
        gemm.m * gemm.k * gemm.times
        for gemm in gemms
        # the queries of cross-attention are not normalised
        if gemm.layer in ("q", "qkv", "fc1", "final") and gemm.name != "cross.q"
    )
    activated = sum(
        gemm.m * gemm.k * gemm.times
        for gemm in gemms
        if gemm.layer in ("fc2", "modulation") or gemm.name.endswith(("embedder.2", "embedder.mlp.2"))
    )
    exponentials = sum(gemm.m * gemm.n * gemm.instances for gemm in gemms if gemm.layer == "qk")
    return OtherWork(
        exponentials=exponentials,
        normalised=normalised,
        activated=activated,
        conversions={name: n for name, n in conversions.items() if n},
    )


@dataclass(frozen=True, kw_only=True)
class Model:
    """A diffusion transformer.

    Parameters
    ----------
    name
        What users type.
    depth, hidden, heads, mlp_ratio
        Transformer blocks, width of a token, attention heads of a block, width of the MLP over ``hidden``.
    latent, patch, channels, out_channels
        Side of the latent image, side of a patch, channels of the latent image and of the output.
    text, text_width
        Text tokens of a sample, and their width when they come; 0 where there is no text.
    attention
        ``self``; ``cross``: image tokens attend to the text tokens as well; ``joint``: image and text tokens go
        through layers of their own and attend to each other.
    modulation
        ``block``: each block computes its six modulation vectors; ``single``: all blocks share one set.
    pooled
        Width of a pooled text vector that joins the timestep's; 0 for none.
    steps
        Denoising steps of an image, as published.
    mix
        Precisions, as in the MixDiT paper.
    """

    name: str
    depth: int
    hidden: int
    heads: int
    latent: int
    mix: Mix
    steps: int
    mlp_ratio: int = 4
    patch: int = 2
    channels: int = 4
    out_channels: int = 8
    text: int = 0
    text_width: int = 0
    attention: str = "self"
    modulation: str = "block"
    pooled: int = 0

    @property
    def tokens(self) -> int:
        """Image tokens of a sample."""
        return (self.latent // self.patch) ** 2

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.hidden // self.heads

    def gemms(self, mix: Mix | None = None, *, scope: str = "blocks") -> tuple[Gemm, ...]:
        """All matrix products of one denoising step, in their order within a block.

        Parameters
        ----------
        mix
            Precisions; by default the model's own.
        scope
            ``blocks``: attention and MLP of all transformer blocks, as the paper counts them, the text stream of joint
            attention whole in each. ``network``: embedders, modulation and final layer too (in MX9 on both sides), and
            without the output layers of the last block's text stream, which the published network does not have.

        Raises
        ------
        ValueError
            An unknown scope, more heads in MX9 than the model has, or more outliers than a layer has channels.
        """
        mix = self.mix if mix is None else mix
        if scope not in SCOPES:
            raise ValueError(f"scope must be one of {', '.join(SCOPES)}, not {scope!r}")
        if mix.heads > self.heads:
            raise ValueError(f"heads must be at most the {self.heads} of {self.name}, not {mix.heads}")
        network = scope == "network"
        return (
            *(self._embedders() if network else ()),
            *self._blocks(mix, whole_text=not network),
            *(self._ends() if network else ()),
        )

    def other_work(self, mix: Mix | None = None, *, scope: str = "blocks") -> OtherWork:
        """Work of one denoising step beside its matrix products; as `gemms`."""
        return other_work(self.gemms(mix, scope=scope))

    def _blocks(self, mix: Mix, *, whole_text: bool) -> Iterator[Gemm]:
        rows, text = SAMPLES * self.tokens, SAMPLES * self.text
        joint, cross = self.attention == "joint", self.attention == "cross"
        yield from self._projections(mix, "", rows)
        if joint:
            yield from self._projections(mix, "text.", text)
        keys = self.tokens + (self.text if joint else 0)
        yield from self._heads(mix, "", keys, keys)
        yield self._linear(mix, "proj", "proj", rows)
        if cross:
            yield self._linear(mix, "cross.q", "q", rows)
            yield self._linear(mix, "cross.k", "k", text)
            yield self._linear(mix, "cross.v", "v", text, shared=True)
            yield from self._heads(mix, "cross.", self.tokens, self.text)
            yield self._linear(mix, "cross.proj", "proj", rows)
        yield from self._mlp(mix, "", rows)
        if joint:
            times = self.depth if whole_text else self.depth - 1
            yield self._linear(mix, "text.proj", "proj", text, times=times)
            yield from self._mlp(mix, "text.", text, times=times)

    def _projections(self, mix: Mix, prefix: str, rows: int) -> Iterator[Gemm]:
        for layer in ("q", "k", "v"):
            yield self._linear(mix, f"{prefix}{layer}", layer, rows, shared=layer != "q")

    def _mlp(self, mix: Mix, prefix: str, rows: int, times: int | None = None) -> Iterator[Gemm]:
        wide = self.mlp_ratio * self.hidden
        yield self._linear(mix, f"{prefix}fc1", "fc1", rows, n=wide, times=times)
        yield self._linear(mix, f"{prefix}fc2", "fc2", rows, k=wide, times=times)

    def _linear(
        self,
        mix: Mix,
        name: str,
        layer: str,
        m: int,
        *,
        k: int | None = None,
        n: int | None = None,
        times: int | None = None,
        shared: bool = False,
    ) -> Gemm:
        k, n = k or self.hidden, n or self.hidden
        times = self.depth if times is None else times
        segments = mix.linear(k, f"{name} in {self.name}")
        return Gemm(name=name, layer=layer, m=m, n=n, k=k, segments=segments, times=times, shared=shared)

    def _heads(self, mix: Mix, prefix: str, queries: int, keys: int) -> Iterator[Gemm]:
        """QK^T, then A V, of the narrow heads and of the wide ones."""
        kinds = ((self.heads - mix.heads, mix.inlier, mix.inlier), (mix.heads, mix.outlier, mix.head_v))
        for layer in ("qk", "av"):
            for heads, a, v in kinds:
                if heads:
                    m, n, k = (queries, keys, self.head_size) if layer == "qk" else (queries, self.head_size, keys)
                    segment = Segment(a=a, w=a if layer == "qk" else v, k=k)
                    name = f"{prefix}{layer}.{segment.pair}"
                    count = SAMPLES * heads
                    yield Gemm(
                        name=name,
                        layer=layer,
                        m=m,
                        n=n,
                        k=k,
                        segments=(segment,),
                        count=count,
                        times=self.depth,
                        weights=False,
                    )

    def _embedders(self) -> Iterator[Gemm]:
        d = self.hidden
        yield self._conditioning("x_embedder", SAMPLES * self.tokens, self.channels * self.patch**2, d)
        yield self._conditioning("t_embedder.0", SAMPLES, FREQUENCIES, d)
        yield self._conditioning("t_embedder.2", SAMPLES, d, d)
        if self.pooled:
            yield self._conditioning("pooled_embedder.0", SAMPLES, self.pooled, d)
            yield self._conditioning("pooled_embedder.2", SAMPLES, d, d)
        if self.attention == "cross":
            yield self._conditioning("text_embedder.0", SAMPLES * self.text, self.text_width, d)
            yield self._conditioning("text_embedder.2", SAMPLES * self.text, d, d)
        elif self.attention == "joint":
            yield self._conditioning("text_embedder", SAMPLES * self.text, self.text_width, d)

    def _ends(self) -> Iterator[Gemm]:
        d = self.hidden
        times = self.depth if self.modulation == "block" else 1
        yield self._conditioning("modulation", SAMPLES, d, 6 * d, layer="modulation", times=times)
        if self.attention == "joint":
            last = self._conditioning("text.last_modulation", SAMPLES, d, 2 * d, layer="modulation")
            yield self._conditioning("text.modulation", SAMPLES, d, 6 * d, layer="modulation", times=times - 1)
            yield last
        if self.modulation == "block":
            yield self._conditioning("final.modulation", SAMPLES, d, 2 * d, layer="modulation")
        rows, values = SAMPLES * self.tokens, self.patch**2 * self.out_channels
        yield self._conditioning("final", rows, d, values, layer="final")

    def _conditioning(self, name: str, m: int, k: int, n: int, *, layer: str = "embedder", times: int = 1) -> Gemm:
        segment = Segment(a="mx9", w="mx9", k=k)
        return Gemm(name=name, layer=layer, m=m, n=n, k=k, segments=(segment,), times=times)


_DITS = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}  # hidden, depth, heads
_MX9_HEADS = Fraction(3, 16)  # of DiT-XL at 256: the paper's 3 of 16, for the other sizes as many in proportion


def _dit(size: str, pixels: int) -> Model:
    hidden, depth, heads = _DITS[size]
    mix = Mix(heads=int(_MX9_HEADS * heads)) if pixels == 256 else Mix(outliers="1%")
    name = f"DiT-{size}-{pixels}"
    return Model(name=name, depth=depth, hidden=hidden, heads=heads, latent=pixels // 8, mix=mix, steps=250)


def _sd3(pixels: int, mix: Mix) -> Model:
    return Model(
        name=f"SD3-{pixels}",
        depth=24,
        hidden=1536,
        heads=24,
        latent=pixels // 8,
        channels=16,
        out_channels=16,
        text=154,
        text_width=4096,
        attention="joint",
        pooled=2048,
        mix=mix,
        steps=28,
    )


def _models() -> Iterator[Model]:
    for size in _DITS:
        yield from (_dit(size, pixels) for pixels in (256, 512))
    xl = _dit("XL", 512)
    yield replace(
        xl,
        name="PixArt-Sigma-1024",
        latent=128,
        text=300,
        text_width=4096,
        attention="cross",
        modulation="single",
        mix=Mix(outliers="1%"),
        steps=20,
    )
    yield _sd3(512, Mix(outliers="1%", heads=12))
    yield _sd3(1024, Mix(outliers="5%", heads=4))
    yield Model(
        name="digits",
        depth=4,
        hidden=144,
        heads=2,
        latent=8,
        patch=1,
        channels=1,
        out_channels=1,
        mix=Mix(outliers="5%", heads=1, outlier_weight="mx9", head_v="mx9"),
        steps=20,
    )


MODELS = {model.name: model for model in _models()}
PAPER_MODELS = ("DiT-XL-256", "DiT-XL-512", "PixArt-Sigma-1024", "SD3-512", "SD3-1024")
ALIASES = {"DiT-256": "DiT-XL-256", "DiT-512": "DiT-XL-512", "PixArt-1024": "PixArt-Sigma-1024"}

__all__ = ["ALIASES", "MODELS", "PAPER_MODELS", "Gemm", "Model", "OtherWork", "get_model", "other_work"]


def get_model(name: str) -> Model:
    """The model of that name or alias, in any case; ValueError for any other name."""
    for known in (*MODELS, *ALIASES):
        if known.lower() == name.lower():
            return MODELS[ALIASES.get(known, known)]
    raise ValueError(f"model must be one of {', '.join((*MODELS, *ALIASES))}, not {name!r}")
