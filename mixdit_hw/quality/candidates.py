"""The precisions that are compared, and what each costs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from golden.capture import Peaks
from golden.diffusion import Schedule, denoise
from golden.dit import DiT, DiTConfig, Gemm, matmul
from golden.formats import FORMATS
from golden.policy import MXGemm, PrecisionPolicy, calibrate
from golden.target import Samples, meet_target

from ..params import Params
from ..policy_work import policy_cycles, policy_gemms
from .emulate import SCHEMES, Emulated, bits_per_element

BASE = "float32"
CONTROL = "mx4"  # must be told apart, or the comparison sees nothing
FRACTIONS = ("1%", "5%", "10%", "25%", "50%")
TARGETS = (32.0, 36.0, 40.0)
EXTRA = ("mxfp8-e5m2", "mxfp6-e3m2")  # only when they are asked for
_POLICY_FIELDS = sorted(f.name for f in fields(PrecisionPolicy) if f.name != "about")  # what images depend on
CALIBRATION_SEED = 1 << 20  # far from those of samples


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One precision of a DiT's attention and MLP.

    Parameters
    ----------
    name
        Short, unique, fit for a file's name.
    about
        In words.
    policy
        What our hardware does; None for another format.
    scheme
        One of `emulate.SCHEMES`; None with a policy, and for float32.
    """

    name: str
    about: str
    policy: PrecisionPolicy | None = None
    scheme: str | None = None

    def gemm(self) -> Gemm:
        """A new matrix product of this precision."""
        return product_of(self.spec())

    def spec(self) -> str:
        """All that its images depend on, as text."""
        policy = None if self.policy is None else {name: _plain(getattr(self.policy, name)) for name in _POLICY_FIELDS}
        return json.dumps({"policy": policy, "scheme": self.scheme}, sort_keys=True)

    def cycles(self, config: DiTConfig, params: Params) -> int | None:
        """Cycles of a denoising step of an image with guidance on a design; None where it cannot run this."""
        if self.policy is None or not formats_of(self.policy, config) <= set(params.formats):
            return None
        return policy_cycles(config, self.policy, params)

    def bits(self, config: DiTConfig) -> float:
        """Mean bits of an operand's element, both operands of a product counting alike, over all products' MACs."""
        if self.scheme is not None:
            return bits_per_element(self.scheme)
        if self.policy is None:
            return 32.0
        return _mean_bits(config, self.policy)


def product_of(spec: str) -> Gemm:
    """The matrix product of a candidate's `Candidate.spec`."""
    parts = json.loads(spec)
    if parts["policy"] is not None:
        return MXGemm(PrecisionPolicy(**parts["policy"]))
    return matmul if parts["scheme"] is None else Emulated(parts["scheme"])


def _plain(value: Any) -> Any:
    return {key: list(indices) for key, indices in value.items()} if isinstance(value, Mapping) else value


def formats_of(policy: PrecisionPolicy, config: DiTConfig) -> set[str]:
    """Formats that a design must have to run a policy; what is exempt in the blocks counts as MX9."""
    return {fmt for gemm in policy_gemms(config, policy) for s in gemm.segments for fmt in (s.a, s.w)}


def uniform(fmt: str) -> PrecisionPolicy:
    """The policy of one format throughout."""
    return PrecisionPolicy(inlier_format=fmt, weight_format=fmt, outlier_weight_format=fmt)


def fixed_candidates() -> list[Candidate]:
    """Those that need no calibration: float32, one format throughout, MX9 activations with MX6 weights, and others'."""
    return [
        Candidate(name=BASE, about="no conversion"),
        *(Candidate(name=fmt, about=f"{fmt.upper()} throughout", policy=uniform(fmt)) for fmt in FORMATS),
        Candidate(
            name="mx9-mx6",
            about="activations MX9, weights MX6",
            policy=PrecisionPolicy(inlier_format="mx9"),
        ),
        *(Candidate(name=name, about=_ABOUT.get(name, f"OCP {name.upper()}"), scheme=name) for name in SCHEMES),
    ]


_ABOUT = {"int8": "INT8, a scale for each token and each output channel"}


def calibrated_names(fractions: Sequence[str], targets: Sequence[float]) -> list[str]:
    """Names of what `calibrated_candidates` makes."""
    return [*(f"mix-{amount.removesuffix('%')}pc" for amount in fractions), *(f"mix-{t:g}db" for t in targets)]


def calibrated_candidates(
    model: DiT,
    schedule: Schedule,
    *,
    fractions: Sequence[str] = FRACTIONS,
    targets: Sequence[float] = TARGETS,
    options: Mapping[str, Any],
    advance: Callable[[int, int], None] | None = None,
) -> list[Candidate]:
    """MX6 with outliers in MX9, chosen on a run in float32 with one image of each class (at most 10) from other noise.

    Parameters
    ----------
    fractions
        Shares of each layer's channels, as "5%"; so many heads of each attention, rounded down, too.
    targets
        Least SQNR of every product, dB, which the fewest outliers and heads meet.
    options
        ``steps``, ``guidance`` and ``eta`` of `golden.diffusion.sample`.
    advance
        Is told how many steps and targets are done, and how many there are.
    """
    if not fractions and not targets:
        return []
    peaks = Peaks()
    samples = Samples(gemm=peaks)
    labels = range(min(10, model.config.classes))
    total = options["steps"] + len(targets)
    advance = advance or (lambda done, total: None)
    for done, _ in enumerate(denoise(model, schedule, labels, seed=CALIBRATION_SEED, gemm=samples, **options), 1):
        advance(done, total)
    policies = []
    for amount in fractions:
        policy = calibrate(peaks, amount, amount, outlier_weight_format="mx9")
        policies.append((policy, f"MX6, {amount} of channels and heads, rounded down, in MX9"))
    for number, target in enumerate(targets, 1):
        policy = meet_target(samples, target, outlier_weight_format="mx9")
        about = f"MX6, as many channels and heads in MX9 as give every product {target:g} dB, where that can be reached"
        policies.append((policy, about))
        advance(options["steps"] + number, total)
    names = calibrated_names(fractions, targets)
    return [
        Candidate(name=name, about=about, policy=policy) for name, (policy, about) in zip(names, policies, strict=True)
    ]


def outlier_share(policy: PrecisionPolicy, config: DiTConfig) -> float:
    """Share of the input channels of all layers, the exempt apart, that are outliers."""
    layers = {name: k for name, (k, _) in config.linear_layers().items() if not policy.is_exempt(name)}
    return sum(len(policy.outliers.get(name, ())) for name in layers) / sum(layers.values())


def _mean_bits(config: DiTConfig, policy: PrecisionPolicy) -> float:
    total, bits = 0, 0.0
    for gemm in policy_gemms(config, policy):
        for channels, segment in zip(gemm.channels, gemm.segments, strict=True):
            macs = gemm.m * gemm.n * channels * gemm.instances
            total += macs
            bits += macs * sum(8 * fmt.block_bytes / 16 for fmt in segment.formats) / 2
    return bits / total


def renamed(candidate: Candidate, taken: Sequence[str]) -> Candidate:
    """The candidate under a name that is not taken."""
    name, number = candidate.name, 2
    while name in taken:
        name, number = f"{candidate.name}-{number}", number + 1
    return replace(candidate, name=name)
