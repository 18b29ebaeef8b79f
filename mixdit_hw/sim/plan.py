"""How a GEMM is cut into tiles and streams.

The output is cut into tiles of R*T rows by C columns, computed row of tiles by row of tiles: ``for m: for n:``. The
images of the streams hold every block once; the players repeat what the order needs more than once:

- ``a``: one section for each row of tiles, of T beats per K block, played once for each column of tiles;
- ``w``: one section with all columns of tiles, of one beat per K block, played once for each row of tiles;
- ``cmd``: one section with the commands of one tile, played once for each tile.
"""

from dataclasses import dataclass
from typing import Protocol

from ..params import Params

MAX_COMMAND_BLOCKS = 65535
CYCLE = 256  # units of a stream's interval; feeder.v knows the number
MAX_IMAGE_BYTES = (1 << 31) - 1  # simulators seek with 32-bit signed offsets


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What a player plays: sections of so many beats, each so many times."""

    section: int
    sections: int
    repeat: int

    @property
    def beats(self) -> int:
        """Beats played in all."""
        return self.section * self.sections * self.repeat


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """Idle cycles put into the streams at random places.

    Parameters
    ----------
    a, w, cmd, c
        Probability of an idle cycle on each stream, 0 to 0.99; on c it is the taker that is not ready.
    seed
        1 to 2^24; runs with the same seed are equal.
    """

    a: float = 0.0
    w: float = 0.0
    cmd: float = 0.0
    c: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("a", "w", "cmd", "c"):
            if not 0 <= getattr(self, name) <= 0.99:
                raise ValueError(f"{name} must be 0 to 0.99, not {getattr(self, name)!r}")
        if not 1 <= self.seed <= 1 << 24:
            raise ValueError(f"seed must be 1 to {1 << 24}, not {self.seed!r}")

    def threshold(self, stream: str) -> int:
        """Probability of a stream in units of 1/256."""
        return round(256 * getattr(self, stream))

    def stream_seed(self, number: int) -> int:
        """Seed of the random numbers of one stream, other than 0."""
        return (self.seed * 0x9E3779B1 + number * 0x85EBCA6B) % 0x7FFFFFFF + 1


NO_STALLS = Stalls()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Streams that are slow at a steady pace, as the performance model's `Memory` has them.

    Beat k moves floor(k x) cycles after the first, with x the stream's interval, if the design never keeps it waiting.
    Where it does, the following beats come the interval after that one, and do not catch up.

    Parameters
    ----------
    a, w, c
        Cycles per beat of each stream, 1 to 4096, rounded to 1/256; on c it is the taker that is slow.
    """

    a: float = 1.0
    w: float = 1.0
    c: float = 1.0

    def __post_init__(self) -> None:
        for name in ("a", "w", "c"):
            if not 1 <= getattr(self, name) <= 4096:
                raise ValueError(f"{name} must be 1 to 4096 cycles per beat, not {getattr(self, name)!r}")

    def interval(self, stream: str) -> int:
        """Cycles per beat in units of 1/256; commands are never slow."""
        return round(CYCLE * getattr(self, stream, 1.0))


NO_PACE = Pace()


class Playback(Protocol):
    """What a run plays and what it waits for."""

    @property
    def streams(self) -> dict[str, Stream]:
        """What is played on each stream."""
        ...

    @property
    def result_beats(self) -> int:
        """Result beats to come."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Tiles and streams of one GEMM on one design.

    Parameters
    ----------
    params
        The design.
    m, n
        Rows and columns of the output.
    blocks
        K blocks.
    max_command
        Blocks of the longest command; a tile with more takes several, all but the last one accumulating.
    """

    params: Params
    m: int
    n: int
    blocks: int
    max_command: int = MAX_COMMAND_BLOCKS

    def __post_init__(self) -> None:
        for name in ("m", "n", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.max_command <= MAX_COMMAND_BLOCKS:
            raise ValueError(f"max_command must be 1 to {MAX_COMMAND_BLOCKS}, not {self.max_command}")

    @property
    def m_tiles(self) -> int:
        """Rows of tiles."""
        return -(-self.m // self.params.tile_rows)

    @property
    def n_tiles(self) -> int:
        """Columns of tiles."""
        return -(-self.n // self.params.columns)

    @property
    def result_beats(self) -> int:
        """Result beats of all tiles."""
        return self.m_tiles * self.n_tiles * self.params.tile_beats

    @property
    def commands(self) -> list[tuple[int, bool]]:
        """Blocks and ``accumulate`` of each command of a tile."""
        full, rest = divmod(self.blocks, self.max_command)
        sizes = [self.max_command] * full + [rest] * (rest > 0)
        return [(size, i < len(sizes) - 1) for i, size in enumerate(sizes)]

    @property
    def streams(self) -> dict[str, Stream]:
        """What is played on each stream."""
        return {
            "a": Stream(section=self.blocks * self.params.interleave, sections=self.m_tiles, repeat=self.n_tiles),
            "w": Stream(section=self.blocks * self.n_tiles, sections=1, repeat=self.m_tiles),
            "cmd": Stream(section=len(self.commands), sections=1, repeat=self.m_tiles * self.n_tiles),
        }
