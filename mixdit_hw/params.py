"""The parameters that define a design, and nothing of its hardware."""

import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from golden.formats import BLOCK_SIZE, FORMATS, Format, get_format

ROUNDINGS = ("nearest-even", "truncate", "half-away")
ADDER_LATENCY = 4  # cycles of the FP32 accumulation loop, so the least number of interleaved outputs


def _is_power_of_two(x: int) -> bool:
    return x > 0 and x & (x - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Params:
    """One design.

    Parameters
    ----------
    rows, columns
        Dot engines of the array, R x C; each 1 to 128.
    interleave
        Outputs T that each engine owns and visits in turn, 4 to 16; not less than the accumulation loop's 4 cycles.
        A tile of the output is R*T rows by C columns.
    formats
        Formats the engines multiply, a subset of mx9, mx6, mx4; A and W may use any of them in any K block.
    a_depth
        Entries of each row's A memory, one block each; a power of two, 4*T to 4096. A K block takes T of them.
    w_depth
        Entries of each column's W memory, one block each; a power of two, 4 to 4096.
    c_depth
        Entries of each column's result memory, one FP32 word each; a power of two, at least R*T/drain, so that a tile
        can reserve its space, and at most 16384. Twice that lets tiles overlap; four times that keeps pace with tiles
        as short as R/drain digit passes.
    drain
        Segments into which each column's result chain is cut, a divisor of R. A result beat holds drain*C words; a tile
        takes R*T/drain cycles to leave, so tiles of fewer than R/drain digit passes are bound by it.
    cmd_depth
        Tile commands that can wait, 1 to 64.
    outlier_depth
        Blocks of outliers that the outlier split can keep, 1 to 1024: a row of A may have 16 of them each.
    rounding
        Rounding of the converter: nearest-even, truncate, half-away, or ``runtime`` for a mode input.
    subnormals
        ``flush`` or ``exact``: what the converter does with FP32 subnormals.
    nonfinite
        ``nan`` (a block with NaN or Inf is a NaN block) or ``saturate`` (Inf to the largest FP32, NaN to +0).

    Raises
    ------
    TypeError
        A value is of the wrong kind.
    ValueError
        A value is out of range or does not fit another; the text names the offending numbers.
    """

    rows: int = 4
    columns: int = 4
    interleave: int = 4
    formats: tuple[str, ...] = ("mx9", "mx6", "mx4")
    a_depth: int = 64
    w_depth: int = 16
    c_depth: int = 64
    drain: int = 1
    cmd_depth: int = 4
    outlier_depth: int = 4
    rounding: str = "nearest-even"
    subnormals: str = "flush"
    nonfinite: str = "nan"

    def __post_init__(self) -> None:
        for name in (
            "rows",
            "columns",
            "interleave",
            "a_depth",
            "w_depth",
            "c_depth",
            "drain",
            "cmd_depth",
            "outlier_depth",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        for name in ("rounding", "subnormals", "nonfinite"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a string, not {getattr(self, name)!r}")
        if not isinstance(self.formats, list | tuple) or not all(isinstance(f, str) for f in self.formats):
            raise TypeError(f"formats must be a list of format names, not {self.formats!r}")
        names = {get_format(f).name for f in self.formats}
        if not names or len(names) != len(self.formats):
            raise ValueError(f"formats must name at least one format, each once, not {list(self.formats)!r}")
        object.__setattr__(self, "formats", tuple(f for f in FORMATS if f in names))

        self._check_range("rows", 1, 128)
        self._check_range("columns", 1, 128)
        self._check_range("interleave", ADDER_LATENCY, 16)
        self._check_range("cmd_depth", 1, 64)
        self._check_range("outlier_depth", 1, 1024)
        for name, low, high in (("a_depth", 4 * self.interleave, 4096), ("w_depth", 4, 4096), ("c_depth", 4, 16384)):
            self._check_range(name, low, high)
            if not _is_power_of_two(getattr(self, name)):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}")
        if self.drain < 1 or self.rows % self.drain:
            raise ValueError(f"drain must divide rows={self.rows}, not {self.drain}")
        if self.c_depth < self.tile_beats:
            raise ValueError(
                f"c_depth must hold a tile's rows*interleave/drain={self.tile_beats} results, not {self.c_depth}"
            )
        self._check_choice("rounding", (*ROUNDINGS, "runtime"))
        self._check_choice("subnormals", ("flush", "exact"))
        self._check_choice("nonfinite", ("nan", "saturate"))

    def _check_range(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, not {value}")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

    @property
    def format_set(self) -> tuple[Format, ...]:
        """Descriptors of the supported formats, widest first."""
        return tuple(get_format(f) for f in self.formats)

    @property
    def magnitude_bits(self) -> int:
        """Magnitude bits of a block on the core's streams: those of the widest format."""
        return max(f.magnitude_bits for f in self.format_set)

    @property
    def digits(self) -> int:
        """4-bit digits of the widest format."""
        return max(f.digits for f in self.format_set)

    @property
    def tile_rows(self) -> int:
        """Rows of an output tile, R*T."""
        return self.rows * self.interleave

    @property
    def tile_beats(self) -> int:
        """Result beats of a tile, R*T/drain, each of drain*C words."""
        return self.rows * self.interleave // self.drain

    @property
    def macs_per_cycle(self) -> int:
        """MX6 multiplications per cycle, 16*R*C."""
        return BLOCK_SIZE * self.rows * self.columns

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        d = asdict(self)
        d["formats"] = list(self.formats)
        return d

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> "Params":
        """Build from plain values; ValueError for a key that is no parameter."""
        known = {f.name for f in fields(cls)}
        for key in d:
            if key not in known:
                raise ValueError(f"unknown parameter {key!r}; known are {', '.join(sorted(known))}")
        d = dict(d)
        if isinstance(d.get("formats"), list):
            d["formats"] = tuple(d["formats"])
        return cls(**d)

    def replace(self, **changes: Any) -> "Params":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Params":
        """Read JSON; ValueError where it is malformed."""
        d = json.loads(text)
        if not isinstance(d, dict):
            raise ValueError(f"parameters must be a JSON object, not {d!r}")
        return cls.from_dict(d)

    def to_toml(self) -> str:
        """TOML text that `from_toml` reads back."""
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.to_dict().items())

    @classmethod
    def from_toml(cls, text: str) -> "Params":
        """Read TOML; ValueError where it is malformed."""
        return cls.from_dict(tomllib.loads(text))
