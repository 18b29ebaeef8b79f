"""Mixed-precision policies: which format each operand of each matrix product of a DiT has.

The scheme is that of MixDiT: activations in a narrow format but for the channels of greatest magnitude, which are MX9;
weights in a narrow format, and the weights that meet outliers in a format of their own. In attention both operands are
activations, and precision is chosen by head.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import numpy as np

from .capture import Peaks
from .checks import check_choice, check_integer
from .codec import NONFINITE, ROUNDINGS, SUBNORMALS, quantize
from .dit import HEAD_PRODUCT, DiTConfig, matmul
from .formats import FORMATS
from .gemm import Operand, gemm, prepare
from .outlier import ORDERS, repeat_outliers, split_outliers, top_channels
from .tensor import MXTensor

OUTLIER_FORMAT = "mx9"
FILE_FORMAT = "mixdit-policy-1"  # what a file says of itself
MAX_INDEX = (1 << 24) - 1  # of a channel or head
_MAX_TEXT = 1000  # characters of a text in `about`
_MAX_DIGITS = 20  # of a number in JSON
_MAX_SHOWN = 60  # characters of a wrong value in an error

# Conditioning and the two ends of the network: once an image, or of no size, and outside of the transformer blocks.
EXEMPT = ("x_embedder.*", "t_embedder.*", "*.adaLN_modulation.*", "final_layer.*")

_FORMATS = ("inlier_format", "weight_format", "outlier_weight_format", "head_v_format")
_CHOICES = {"rounding": ROUNDINGS, "subnormals": SUBNORMALS, "nonfinite": NONFINITE, "order": ORDERS}
_INDICES = ("outliers", "heads")


def is_exempt(name: str, patterns: Iterable[str] = EXEMPT) -> bool:
    """Whether the product of that name matches one of the patterns, by default of what stays float32."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class PrecisionPolicy:
    """Formats of a DiT's matrix products; without outliers and heads, the same for all.

    Parameters
    ----------
    inlier_format
        Format of activations, in attention of both operands.
    weight_format
        Format of weights.
    outlier_weight_format
        Format of the weights' rows that meet outlier channels.
    outliers
        Outlier channels of linear layers, by name; these channels of the activations are MX9.
    heads
        Heads of attentions (``blocks.N.attn``) whose products have both operands in MX9, but for V.
    head_v_format
        Format of V in these heads.
    order
        Stored order with outliers, ``in-place`` or ``gathered``.
    rounding, subnormals, nonfinite
        Options of `golden.quantize`.
    exempt
        Patterns (``*`` matches anything) of products that stay float32; by default all but those of the transformer
        blocks' attention and MLP.
    about
        Where the policy comes from, printable text by key (model, calibration); it changes nothing.

    Raises
    ------
    TypeError
        A value is of the wrong kind.
    ValueError
        For an unknown format or option, indices that are negative, above `MAX_INDEX` or not distinct, or text that is
        not printable or longer than 1000 characters.
    """

    inlier_format: str = "mx6"
    weight_format: str = "mx6"
    outlier_weight_format: str = "mx6"
    outliers: Mapping[str, tuple[int, ...]] = field(default_factory=_nothing)
    heads: Mapping[str, tuple[int, ...]] = field(default_factory=_nothing)
    head_v_format: str = OUTLIER_FORMAT
    order: str = "in-place"
    rounding: str = "nearest-even"
    subnormals: str = "flush"
    nonfinite: str = "nan"
    exempt: tuple[str, ...] = EXEMPT
    about: Mapping[str, str] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        for name in _FORMATS:
            check_choice(name, getattr(self, name), tuple(FORMATS))
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in _INDICES:
            object.__setattr__(self, name, _check_indices(name, getattr(self, name)))
        if not isinstance(self.exempt, list | tuple) or not all(isinstance(p, str) for p in self.exempt):
            raise TypeError(f"exempt must be a list of patterns, not {_shown(self.exempt)}")
        object.__setattr__(self, "exempt", tuple(self.exempt))
        object.__setattr__(self, "about", _check_about(self.about))

    @property
    def options(self) -> dict[str, str]:
        """The options of `golden.quantize`."""
        return {name: getattr(self, name) for name in ("rounding", "subnormals", "nonfinite")}

    def is_exempt(self, name: str) -> bool:
        """Whether the product of that name stays float32."""
        return is_exempt(name, self.exempt)

    def check(self, config: DiTConfig) -> None:
        """Raise ValueError if a name or an index of the outliers or heads is none of that DiT's."""
        channels = {name: inputs for name, (inputs, _) in config.linear_layers().items()}
        heads = {f"blocks.{n}.attn": config.heads for n in range(config.depth)}
        for name, sizes in (("outliers", channels), ("heads", heads)):
            for key, indices in getattr(self, name).items():
                if key not in sizes:
                    raise ValueError(f"{name} must name layers of the model, not {key!r}")
                if indices and indices[-1] >= sizes[key]:
                    raise ValueError(f"{name} of {key!r} must be 0 to {sizes[key] - 1}, not {indices[-1]}")

    def segments(self, name: str, k: int) -> tuple[tuple[str, str, int], ...] | None:
        """Stored order of the product of that name over K channels.

        Returns
        -------
        Format of A, format of W and number of K positions of each segment, as `quantize_a` and `quantize_w` make them;
        None for the exempt.

        Raises
        ------
        ValueError
            K is below 1, or the product has an outlier channel that is none of K.
        """
        if check_integer("k", k) < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if self.is_exempt(name):
            return None
        formats, channels = self._head_formats(name), self.outliers.get(name, ())
        if formats is not None:
            return ((*formats, k),)
        if channels and channels[-1] >= k:
            raise ValueError(f"outliers of {name!r} must be 0 to {k - 1}, not {channels[-1]}")
        inliers = k if self.order == "in-place" else k - len(channels)
        segments = (
            (self.inlier_format, self.weight_format, inliers),
            (OUTLIER_FORMAT, self.outlier_weight_format, len(channels)),
        )
        return tuple(segment for segment in segments if segment[2])

    def quantize_a(self, name: str, a: np.ndarray) -> MXTensor:
        """The left operand (M, K), or a stack of them, of a product that is not exempt, in stored order."""
        formats = self._head_formats(name)
        if formats is not None:
            return quantize(a, formats[0], axis=-1, **self.options)
        channels = self.outliers.get(name, ())
        return split_outliers(a, channels, self.inlier_format, OUTLIER_FORMAT, axis=1, order=self.order, **self.options)

    def quantize_w(self, name: str, w: np.ndarray) -> MXTensor:
        """The right operand (K, N), or a stack of them, of a product that is not exempt, in stored order."""
        formats = self._head_formats(name)
        if formats is not None:
            return quantize(w, formats[1], axis=-2, **self.options)
        channels, formats = self.outliers.get(name, ()), (self.weight_format, self.outlier_weight_format)
        return repeat_outliers(w, channels, *formats, axis=0, order=self.order, **self.options)

    def _head_formats(self, name: str) -> tuple[str, str] | None:
        """Formats of both operands of a head's product; None for a linear layer."""
        match = HEAD_PRODUCT.fullmatch(name)
        if match is None:
            return None
        if int(match["head"]) not in self.heads.get(match["layer"], ()):
            return self.inlier_format, self.inlier_format
        return OUTLIER_FORMAT, OUTLIER_FORMAT if match["product"] == "qk" else self.head_v_format

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in _INDICES:
            plain[name] = {key: list(indices) for key, indices in plain[name].items()}
        return plain | {"exempt": list(self.exempt), "about": dict(self.about)}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> "PrecisionPolicy":
        """Build from plain values; ValueError for a key that is no field."""
        known = [f.name for f in fields(cls)]
        for key in d:
            if key not in known:
                raise ValueError(f"unknown policy field {_shown(key)}; known are {', '.join(known)}")
        return cls(**d)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back: first its format, then the fields; a line for each layer."""
        lines = []
        for key, value in {"format": FILE_FORMAT, **self.to_dict()}.items():
            if isinstance(value, dict) and value:
                inner = ",\n".join(f"    {json.dumps(name)}: {json.dumps(part)}" for name, part in value.items())
                lines.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
            else:
                lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "PrecisionPolicy":
        """Read JSON of this format; fields that are missing have their defaults.

        Raises
        ------
        TypeError, ValueError
            The text is no JSON, repeats a key, holds a number that is none, is of another format or has an unknown
            field; and as for the fields' values. The error is one line that names the field.
        """
        try:
            return cls._parse(text)
        except RecursionError:
            raise ValueError("policy must not nest so deeply") from None

    @classmethod
    def _parse(cls, text: str) -> "PrecisionPolicy":
        try:
            d = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant, parse_int=_parse_integer)
        except json.JSONDecodeError as e:
            raise ValueError(f"policy must be JSON: {e}") from None
        if not isinstance(d, dict):
            raise ValueError(f"policy must be a JSON object, not {_shown(d)}")
        if d.get("format") != FILE_FORMAT:
            raise ValueError(f"format must be {FILE_FORMAT!r}, not {_shown(d.get('format'))}")
        return cls.from_dict({key: value for key, value in d.items() if key != "format"})


def _shown(value: Any) -> str:
    """The value in an error, on one line and cut short."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different."""
    d: dict[str, Any] = {}
    for key, value in pairs:
        if key in d:
            raise ValueError(f"policy must not have the key {_shown(key)} twice in an object")
        d[key] = value
    return d


def _refuse_constant(text: str) -> None:
    raise ValueError(f"policy must not hold {text}, which is no JSON")


def _parse_integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"policy must not hold a number of {len(text)} digits")
    return int(text)


def _check_about(value: Any) -> Mapping[str, str]:
    """The value as a read-only mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"about must map keys to text, not {_shown(value)}")
    for key, text in value.items():
        for part in (key, text):
            if not isinstance(part, str):
                raise TypeError(f"about must map keys to text, not {_shown(key)} to {_shown(text)}")
            if len(part) > _MAX_TEXT or not part.isprintable():
                raise ValueError(
                    f"about must hold printable text of at most {_MAX_TEXT} characters, not {_shown(part)}"
                )
    return MappingProxyType(dict(value))


def _check_indices(name: str, value: Any) -> Mapping[str, tuple[int, ...]]:
    """The value as a read-only mapping to ascending tuples."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} must map names to indices, not {_shown(value)}")
    checked = {}
    for key, indices in value.items():
        what = f"{name} of {_shown(key)}"
        if not isinstance(indices, list | tuple | np.ndarray):
            raise TypeError(f"{what} must be a list of indices, not {_shown(indices)}")
        numbers = tuple(sorted(check_integer(what, i) for i in indices))
        if len(set(numbers)) != len(numbers) or (numbers and numbers[0] < 0):
            raise ValueError(f"{what} must be distinct and not negative, not {_shown(list(numbers))}")
        if numbers and numbers[-1] > MAX_INDEX:
            raise ValueError(f"{what} must be at most {MAX_INDEX}, not {_shown(numbers[-1])}")
        checked[key] = numbers
    return MappingProxyType(checked)


def calibrate(peaks: Peaks, amount: int | str, heads: int | str = 0, **settings: Any) -> PrecisionPolicy:
    """Choose outliers by what a calibration run met.

    Parameters
    ----------
    peaks
        Hook of a run in float32 over all timesteps.
    amount
        Outlier channels of each linear layer: a number, or ``"P%"`` of them; ties go to the lower index.
    heads
        Heads of each attention in MX9, likewise.
    settings
        Other fields of the policy.

    Raises
    ------
    TypeError, ValueError
        As `outlier.outlier_count` and `PrecisionPolicy` do.
    """
    policy = PrecisionPolicy(**settings)
    channels = {name: peak for name, peak in peaks.channels.items() if not policy.is_exempt(name)}
    return replace(
        policy,
        outliers={name: tuple(top_channels(peak, amount).tolist()) for name, peak in channels.items()},
        heads={name: tuple(top_channels(peak, heads).tolist()) for name, peak in peaks.heads.items()},
    )


class MXGemm:
    """A `Gemm` that multiplies as the hardware does, bit for bit, under a policy.

    Read-only right operands, which a DiT's weights are unless it streams, are converted once and kept; the same object
    serves one model.
    """

    def __init__(self, policy: PrecisionPolicy) -> None:
        self.policy = policy
        self._weights: dict[str, tuple[np.ndarray, Operand]] = {}

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Convert both operands and multiply them; float32 for the exempt."""
        if self.policy.is_exempt(name):
            return matmul(name, a, w)
        return gemm(self.policy.quantize_a(name, a), self._weight(name, w))

    def _weight(self, name: str, w: np.ndarray) -> Operand:
        known, operand = self._weights.get(name, (None, None))
        if operand is None or known is not w:
            operand = prepare(self.policy.quantize_w(name, w))
            if not w.flags.writeable:
                self._weights[name] = (w, operand)
        return operand
