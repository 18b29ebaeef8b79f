"""Matrix products of a DiT under a policy of precisions, and what they take on a design.

    gemms = policy_gemms(DiTConfig.named("DiT-XL/2"), policy)
    cycles = policy_cycles(config, policy, PRESETS["base"])

Products that the policy leaves in float32 are multiplied by nobody here; where they count, it is as MX9 on both sides,
as `Model.gemms` has embedders, modulation and final layer.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from golden.dit import DiTConfig
from golden.policy import OUTLIER_FORMAT, PrecisionPolicy

from .mixes import Segment, check_positive
from .params import Params
from .perf.memory import Memory
from .perf.model import step_cost
from .workloads import SAMPLES, SCOPES, Gemm, Model

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_LAYERS = {
    "adaLN_modulation.1": "modulation",
    "attn.qkv": "qkv",
    "attn.proj": "proj",
    "mlp.fc1": "fc1",
    "mlp.fc2": "fc2",
}
_CONDITIONING = ("embedder", "modulation")  # one row a sample; the patch embedding, which has all tokens, is apart


def config_of(model: Model) -> DiTConfig:
    """Geometry of a model; ValueError for one that is no DiT with self-attention and modulation in each block."""
    if model.attention != "self" or model.modulation != "block" or model.pooled:
        raise ValueError(f"model must be a DiT, not {model.name}")
    return DiTConfig(
        input_size=model.latent,
        patch_size=model.patch,
        in_channels=model.channels,
        hidden_size=model.hidden,
        depth=model.depth,
        heads=model.heads,
        mlp_ratio=model.mlp_ratio,
        learn_sigma=model.out_channels == 2 * model.channels,
    )


def describe_policy(config: DiTConfig, policy: PrecisionPolicy) -> str:
    """A DiT and its precisions in a line."""
    shape = f"{config.depth} blocks of {config.hidden_size}, {config.heads} heads of {config.head_size}"
    layers = config.linear_layers()
    channels = sum(k for name, (k, _) in layers.items() if not policy.is_exempt(name))
    outliers = sum(len(indices) for name, indices in policy.outliers.items() if not policy.is_exempt(name))
    wide = sum(len(indices) for indices in policy.heads.values())
    inlier, weight, meets, v = (
        fmt.upper()
        for fmt in (policy.inlier_format, policy.weight_format, policy.outlier_weight_format, policy.head_v_format)
    )
    parts = [f"{inlier}, weights {weight}"]
    if outliers:
        parts.append(f"{outliers} of {channels} channels in {OUTLIER_FORMAT.upper()} by {meets}, {policy.order}")
    if wide:
        parts.append(f"{wide} of {config.depth * config.heads} heads in {OUTLIER_FORMAT.upper()}, V in {v}")
    return f"{shape}, {config.tokens} tokens; {'; '.join(parts)}"


def segments_of(policy: PrecisionPolicy, name: str, k: int) -> tuple[Segment, ...]:
    """Segments of the product of that name over K channels; an exempt one is MX9. ValueError as the policy's."""
    found = policy.segments(name, k) or ((OUTLIER_FORMAT, OUTLIER_FORMAT, k),)
    return tuple(Segment(a=a, w=w, k=positions) for a, w, positions in found)


def policy_gemms(
    config: DiTConfig, policy: PrecisionPolicy, *, samples: int = SAMPLES, scope: str = "blocks"
) -> tuple[Gemm, ...]:
    """All matrix products of one denoising step, block after block; heads of the same formats are one entry.

    Parameters
    ----------
    config
        Geometry of the DiT.
    policy
        Its precisions.
    samples
        Images evaluated: 2 for one image with classifier-free guidance.
    scope
        ``blocks``: attention and MLP of all blocks, those that are exempt too. ``network``: embedders, modulation and
        final layer as well. What is exempt counts in MX9 on both sides.

    Raises
    ------
    TypeError
        ``samples`` is no integer.
    ValueError
        An unknown scope, fewer than 1 sample, or a policy that is none for this DiT.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope must be one of {', '.join(SCOPES)}, not {scope!r}")
    check_positive("samples", samples)
    policy.check(config)
    gemms = []
    for name, (k, n) in config.linear_layers().items():
        match = _BLOCK.fullmatch(name)
        layer = _LAYERS[match[2]] if match else _end_layer(name)
        if scope == "network" or (match and layer != "modulation"):
            rows = 1 if layer in _CONDITIONING and name != "x_embedder.proj" else config.tokens
            segments = segments_of(policy, name, k)
            gemms.append(Gemm(name=name, layer=layer, m=samples * rows, n=n, k=k, segments=segments))
        if layer == "qkv":
            attention = name.removesuffix(".qkv")
            gemms += _heads(config, policy, f"{attention}.qk", samples, config.head_size, config.tokens)
            gemms += _heads(config, policy, f"{attention}.av", samples, config.tokens, config.head_size)
    return tuple(gemms)


def _end_layer(name: str) -> str:
    if name.endswith("adaLN_modulation.1"):
        return "modulation"
    return "final" if name.startswith("final_layer") else "embedder"


def _heads(config: DiTConfig, policy: PrecisionPolicy, name: str, samples: int, k: int, n: int) -> Iterator[Gemm]:
    """One product of each head and sample, narrow formats first."""
    counts: dict[tuple[Segment, ...], int] = {}
    for head in range(config.heads):
        segments = segments_of(policy, f"{name}.{head}", k)
        counts[segments] = counts.get(segments, 0) + 1
    for segments, heads in sorted(counts.items(), key=lambda item: sum(s.passes for s in item[0])):
        yield Gemm(
            name=f"{name}.{segments[0].pair}",
            layer=name.rpartition(".")[2],
            m=config.tokens,
            n=n,
            k=k,
            segments=segments,
            count=samples * heads,
            weights=False,
        )


def merge_blocks(gemms: Iterable[Gemm]) -> tuple[Gemm, ...]:
    """The same work with equal products of several blocks as one, named ``blocks.0-3,5.mlp.fc1``; layer by layer."""
    groups: dict[tuple[str, Gemm], list[int]] = {}
    for gemm in gemms:
        match = _BLOCK.fullmatch(gemm.name)
        name = match[2] if match else gemm.name
        groups.setdefault((name, replace(gemm, name=name)), []).extend([int(match[1])] if match else [])
    layers = list(dict.fromkeys(gemm.layer for _, gemm in groups))
    merged = []
    for (name, gemm), blocks in sorted(groups.items(), key=lambda item: layers.index(item[0][1].layer)):
        if blocks:
            gemm = replace(gemm, name=f"blocks.{_ranges(blocks)}.{name}", times=gemm.times * len(blocks))
        merged.append(gemm)
    return tuple(merged)


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in short: ``0-3,5``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def policy_cycles(
    config: DiTConfig,
    policy: PrecisionPolicy,
    params: Params,
    samples: int = SAMPLES,
    *,
    scope: str = "blocks",
    memory: Memory | None = None,
) -> int:
    """Clock cycles of one denoising step on a design.

    Parameters
    ----------
    config, policy, samples, scope
        As `policy_gemms`.
    params
        The design.
    memory
        What the streams come from; by default one that never lets them wait.

    Raises
    ------
    TypeError, ValueError
        As `policy_gemms` does, or the policy has a format that the design lacks.
    """
    gemms = policy_gemms(config, policy, samples=samples, scope=scope)
    return step_cost(params, merge_blocks(gemms), memory).cycles
