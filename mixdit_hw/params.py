"""The parameters that define a design, and nothing of its hardware."""

import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from math import gcd, lcm
from typing import Any

from golden.formats import BLOCK_SIZE, FORMATS, MX9, Format, get_format

ROUNDINGS = ("nearest-even", "truncate", "half-away")
TREES = ("compressors", "chains")
LOOP_LATENCIES = (4, 8)  # cycles of the FP32 accumulation loop
SHARES = (1, 2, 4)
AXI_WIDTHS = (64, 128, 256, 512)  # bits of a data bus
MULTIPLIERS = {"logic": (1, 1), "pairs": (1, 2), "quads": (2, 2)}  # rows by columns of a multiplier's products


def _is_power_of_two(x: int) -> bool:
    return x > 0 and x & (x - 1) == 0


def power_of_two_from(x: int) -> int:
    """The smallest power of two that is at least ``x``."""
    return 1 << (x - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class Params:
    """One design.

    Parameters
    ----------
    rows, columns
        Dot engines of the array, R x C; each 1 to 128.
    share_rows, share_columns
        Engines that share the registers of their operands: so many engines of a column one of W, so many of a row one
        of A; each 1, 2 or 4. Where that does not divide the rows or columns, their greatest common divisor counts.
    loop_latency
        Cycles of the accumulation loop, 4 or 8: how finely the engines are pipelined. With 8 the period is a third
        shorter, registers are nearly twice as many, and T is at least 8.
    tree
        How an engine adds up its products: ``compressors``, smaller and faster in cells, or carry ``chains``, smaller
        on FPGAs.
    multipliers
        ``logic``: a multiplier of cells or LUTs for each product. For the DSP blocks of FPGAs: ``pairs``, a multiplier
        of 4 x 12 bits for the products of two columns, or ``quads``, one of 20 x 12 bits for two rows by two columns;
        they need clusters of an even number of columns, and of rows.
    interleave
        Outputs T that each engine owns and visits in turn, 4 to 16; not less than ``loop_latency``. A tile of the
        output is R*T rows by C columns.
    formats
        Formats the engines multiply, a subset of mx9, mx6, mx4; A and W may use any of them in any K block.
    a_depth
        Entries of A's memories, one block of each row; a power of two, 4*T to 4096. A K block takes T of them.
        ``full_rate_a_depth`` keeps the array busy.
    w_depth
        Entries of W's memories, one block of each column; a power of two, 4 to 4096. ``full_rate_w_depth`` keeps the
        array busy.
    c_depth
        Result beats that the result memories hold; a power of two, at least R*T/drain, so that a tile can reserve its
        space, and at most 16384. Twice that lets tiles overlap; how much keeps pace with tiles as short as R/drain
        digit passes depends on the skew (`perf.core.full_rate_c_depth`).
    drain
        Rows of a result beat, a divisor of R: it holds drain*C words. A tile takes R*T/drain cycles to leave, so tiles
        of fewer digit passes than R/drain are bound by it.
    cmd_depth
        Tile commands that can wait, 1 to 64.
    outlier_depth
        Blocks of outliers that the outlier split can keep, 1 to 1024, of 16 channels each. Jobs with more than
        ``most_outliers`` read W again for every tile, and A for every chunk of ``outlier_chunk`` blocks of every tile.
    axi_width
        Bits of the accelerator's AXI data bus: 64, 128, 256 or 512.
    address_bits
        Bits of its addresses, 32 to 64.
    k_depth
        K blocks, of all rows of a tile of A and of all columns of one of W, that one slot of the operand buffers holds:
        a power of two, 4 to 4096. Products of more K blocks read their operands again for every tile.
    a_slots
        Slots of A's buffer, 2 to 4: row panels of A on chip. W's has two.
    read_depth
        Beats of the bus that each operand's reader can have under way, a power of two, 16 to 512: to keep the bus busy
        it takes one for every cycle of the memory's latency.
    queue_depth
        Jobs that can wait, a power of two, 4 to 64.
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
    share_rows: int = 2
    share_columns: int = 2
    loop_latency: int = 4
    tree: str = "compressors"
    multipliers: str = "logic"
    interleave: int = 4
    formats: tuple[str, ...] = ("mx9", "mx6", "mx4")
    a_depth: int = 64
    w_depth: int = 16
    c_depth: int = 64
    drain: int = 1
    cmd_depth: int = 4
    outlier_depth: int = 4
    axi_width: int = 128
    address_bits: int = 40
    k_depth: int = 64
    a_slots: int = 2
    read_depth: int = 64
    queue_depth: int = 4
    rounding: str = "nearest-even"
    subnormals: str = "flush"
    nonfinite: str = "nan"

    def __post_init__(self) -> None:
        for name in (
            "rows",
            "columns",
            "share_rows",
            "share_columns",
            "loop_latency",
            "interleave",
            "a_depth",
            "w_depth",
            "c_depth",
            "drain",
            "cmd_depth",
            "outlier_depth",
            "axi_width",
            "address_bits",
            "k_depth",
            "a_slots",
            "read_depth",
            "queue_depth",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        for name in ("tree", "multipliers", "rounding", "subnormals", "nonfinite"):
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
        self._check_choice("share_rows", SHARES)
        self._check_choice("share_columns", SHARES)
        self._check_choice("loop_latency", LOOP_LATENCIES)
        self._check_choice("tree", TREES)
        self._check_choice("multipliers", tuple(MULTIPLIERS))
        for name, pack in zip(("rows", "columns"), MULTIPLIERS[self.multipliers], strict=True):
            if getattr(self, f"cluster_{name}") % pack:
                raise ValueError(
                    f"multipliers={self.multipliers} needs clusters of an even number of {name}, not "
                    f"{getattr(self, f'cluster_{name}')} ({name}={getattr(self, name)}, "
                    f"share_{name}={getattr(self, f'share_{name}')})"
                )
        self._check_range("interleave", self.loop_latency, 16)
        self._check_range("cmd_depth", 1, 64)
        self._check_range("outlier_depth", 1, 1024)
        self._check_choice("axi_width", AXI_WIDTHS)
        self._check_range("address_bits", 32, 64)
        self._check_range("a_slots", 2, 4)
        for name, low, high in (
            ("a_depth", 4 * self.interleave, 4096),
            ("w_depth", 4, 4096),
            ("c_depth", 4, 16384),
            ("k_depth", 4, 4096),
            ("read_depth", 16, 512),
            ("queue_depth", 4, 64),
        ):
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

    def _check_choice(self, name: str, choices: tuple[str, ...] | tuple[int, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")

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
    def cluster_rows(self) -> int:
        """Rows of engines that share registers of W."""
        return gcd(self.rows, self.share_rows)

    @property
    def cluster_columns(self) -> int:
        """Columns of engines that share registers of A."""
        return gcd(self.columns, self.share_columns)

    @property
    def row_skew(self) -> int:
        """Cycles by which the last row of engines works after the first, (R/V - 1)*(T - 1).

        V is ``cluster_rows``: the rows of a cluster work at the same time.
        """
        return (self.rows // self.cluster_rows - 1) * (self.interleave - 1)

    @property
    def column_skew(self) -> int:
        """Cycles by which the last column of engines works after the first, C/H - 1 with H ``cluster_columns``."""
        return self.columns // self.cluster_columns - 1

    @property
    def chains(self) -> int:
        """Result chains of each column, lcm(V, drain), each through R/chains cluster rows.

        Chain s holds rows s*R/chains and following of the array, as users see it; each row of a cluster is on a chain
        of its own, and each of a beat's ``drain`` rows comes from chains/drain of them in turn.
        """
        return lcm(self.cluster_rows, self.drain)

    @property
    def chain_rows(self) -> int:
        """Engines on each result chain, R/chains; so many steps of T cycles a tile's results keep it busy."""
        return self.rows // self.chains

    @property
    def lane_depth(self) -> int:
        """Entries of a result lane, each of one word of each chain: c_depth*drain/chains."""
        return self.c_depth * self.drain // self.chains

    @property
    def lane_tile(self) -> int:
        """Entries of a result lane that a tile takes, R*T/chains."""
        return self.chain_rows * self.interleave

    @property
    def full_rate_a_depth(self) -> int:
        """Least ``a_depth`` with which A never keeps the array waiting while a beat comes in every cycle.

        The power of two from row_skew + 2*T + 2 entries on: T for a block that comes in, T for one that is read, 2
        cycles from the last beat to the decision that reads it, and what the last row has yet to read.
        """
        return power_of_two_from(max(self.row_skew + 2 * self.interleave + 2, 4 * self.interleave))

    @property
    def full_rate_w_depth(self) -> int:
        """Least ``w_depth`` with which W never keeps the array waiting while a beat comes in every cycle.

        The power of two from ceil((column_skew + 3)/T) + 1 entries on.
        """
        return power_of_two_from(max(-(-(self.column_skew + 3) // self.interleave) + 1, 4))

    @property
    def tile_rows(self) -> int:
        """Rows of an output tile, R*T."""
        return self.rows * self.interleave

    @property
    def tile_beats(self) -> int:
        """Result beats of a tile, R*T/drain, each of drain*C words."""
        return self.rows * self.interleave // self.drain

    @property
    def most_outliers(self) -> int:
        """Outlier channels of a row that go in one pass, 16*outlier_depth + 15; none without MX9."""
        return BLOCK_SIZE * self.outlier_depth + BLOCK_SIZE - 1 if MX9.name in self.formats else 0

    @property
    def outlier_chunk(self) -> int:
        """K blocks of a chunk of a job with more outlier channels than go in one pass, min(k_depth, outlier_depth)."""
        return min(self.k_depth, self.outlier_depth) if MX9.name in self.formats else self.k_depth

    @property
    def store_lanes(self) -> int:
        """Results per cycle through scale, bias and store: the largest power of two that divides C, up to 16."""
        return gcd(self.columns, BLOCK_SIZE)

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
