"""Compares a result with golden's bit for bit, and shows how the first different element came about on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import click
import numpy as np

import golden
from golden import MXTensor

from ..errors import CheckError, MixditError
from ..params import Params
from .bench import result_words
from .images import a_beats, command_beats, w_beats, write_beats
from .plan import Plan, Stream
from .run import Simulator

_BATCH = 64  # prefixes of K that run in one simulation
_CONTEXT = 12  # blocks shown on each side of the first different accumulator


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first different element in row-major order, as FP32 words, and how many differ."""

    row: int
    column: int
    hardware: int
    golden: int
    count: int

    def __str__(self) -> str:
        return (
            f"C[{self.row}, {self.column}] is {show_word(self.hardware)} in hardware and "
            f"{show_word(self.golden)} in golden; {self.count} elements differ"
        )


def compare(hardware: np.ndarray, expected: np.ndarray) -> Difference | None:
    """Compare two float32 arrays (M, N) word for word; None where all are equal."""
    x, y = hardware.view(np.uint32), expected.view(np.uint32)
    count = int(np.count_nonzero(x != y))
    if not count:
        return None
    row, column = divmod(int(np.argmax(x != y)), x.shape[1])
    return Difference(row=row, column=column, hardware=int(x[row, column]), golden=int(y[row, column]), count=count)


def require_equal(
    a: MXTensor, w: MXTensor, hardware: np.ndarray, expected: np.ndarray, simulator: Simulator, *, what: str = ""
) -> int:
    """Compare the hardware's product of A and W with golden's, and return how many elements are equal: all.

    Otherwise what `explain` says, or why it says nothing, goes to stderr.

    Raises
    ------
    CheckError
        An element differs; the text begins with ``what`` and tells the first, whatever happens to the explanation.
    """
    difference = compare(hardware, expected)
    if difference is not None:
        try:
            lines = explain(a, w, difference, simulator)
        except (Exception, KeyboardInterrupt) as e:
            lines = [" ".join(f"no explanation: {type(e).__name__}: {e}".split()).rstrip(":")]
        for line in lines:
            click.echo(line, err=True)
        raise CheckError(f"{what}: {difference}" if what else str(difference))
    return int(np.count_nonzero(hardware.view(np.uint32) == expected.view(np.uint32)))


def show_word(word: int) -> str:
    """An FP32 word as bits and as a number: ``3f800000 (1)``."""
    return f"{word:08x} ({np.uint32(word).view(np.float32):.9g})"


@dataclass(frozen=True, kw_only=True)
class PrefixPlayback:
    """One tile run again and again, each time with fewer of its K blocks than it has.

    Parameters
    ----------
    params
        The design.
    prefixes
        K blocks of each run.
    """

    params: Params
    prefixes: Sequence[int]

    @property
    def streams(self) -> dict[str, Stream]:
        """What is played on each stream: once, from end to end."""
        blocks = sum(self.prefixes)
        beats = {"a": blocks * self.params.interleave, "w": blocks, "cmd": len(self.prefixes)}
        return {name: Stream(section=n, sections=1, repeat=1) for name, n in beats.items()}

    @property
    def result_beats(self) -> int:
        """Result beats of all runs."""
        return len(self.prefixes) * self.params.tile_beats


def hardware_accumulators(
    a: MXTensor, w: MXTensor, row: int, column: int, simulator: Simulator, prefixes: Sequence[int]
) -> list[int]:
    """The hardware's accumulator of one output as FP32 words, after so many K blocks each.

    The output's tile runs once for every entry of ``prefixes``, with that many blocks.
    """
    p = simulator.params
    tile_a = _tile(a, row, p.tile_rows)
    tile_w = _tile(w, column, p.columns)
    playback = PrefixPlayback(params=p, prefixes=prefixes)
    plans = [Plan(params=p, m=tile_a.rows, n=tile_w.rows, blocks=n) for n in prefixes]
    with simulator.run_folder() as folder:
        write_beats(folder / "a.bin", (beats for plan in plans for beats in a_beats(tile_a, plan)))
        write_beats(folder / "w.bin", (beats for plan in plans for beats in w_beats(tile_w, plan)))
        write_beats(folder / "cmd.bin", (command_beats(plan) for plan in plans))
        simulator.play(playback, folder)
        record = np.fromfile(folder / "c.bin", "=u4").reshape(len(prefixes), p.tile_beats, result_words(p))
    segment, beat = divmod(row % p.tile_rows, p.tile_beats)
    return record[:, beat, segment * p.columns + column % p.columns].tolist()


def explain(a: MXTensor, w: MXTensor, difference: Difference, simulator: Simulator) -> list[str]:
    """Lines that show the golden partial sums of an element beside the accumulators that the hardware has.

    Where the hardware or its simulator fails on the shortened tile, the golden side is shown alone.
    """
    steps = golden.trace(a, w, difference.row, difference.column)
    hardware: list[int] = []
    first = None
    problem = "when its tile runs alone, the hardware agrees with golden after every block"
    try:
        while first is None and len(hardware) < len(steps):
            batch = range(len(hardware) + 1, min(len(hardware) + _BATCH, len(steps)) + 1)
            hardware += hardware_accumulators(a, w, difference.row, difference.column, simulator, batch)
            pairs = enumerate(zip(steps, hardware, strict=False))
            first = next((k for k, (step, word) in pairs if step.acc != word), None)
    except MixditError as e:
        problem = f"when its tile runs alone: {e}"
    if first is not None:
        problem = f"block {first} is the first after which the accumulators differ"
    centre = len(hardware) if first is None else first
    shown = range(max(0, centre - _CONTEXT), min(len(steps), centre + _CONTEXT + 1))
    lines = [f"{'block':>7}  A    W    {'S':>8}  {'P golden':<26}  {'acc golden':<26}  acc hardware"]
    for k in shown:
        step = steps[k]
        word = show_word(hardware[k]) if k < len(hardware) else "-"
        mark = " <" if k < len(hardware) and hardware[k] != step.acc else ""
        s = "NaN" if step.s is None else str(step.s)
        lines.append(
            f"{k:>7}  {step.a_format}  {step.w_format}  {s:>8}  {show_word(step.p):<26}  "
            f"{show_word(step.acc):<26}  {word}{mark}"
        )
    return [*lines, problem]


def _tile(t: MXTensor, row: int, size: int) -> MXTensor:
    """The rows of the tile that holds a row."""
    rows = slice(row // size * size, (row // size + 1) * size)
    exponents = t.exponents[rows]
    shape = (len(exponents), t.shape[1]) if t.axis == 1 else (t.shape[0], len(exponents))
    return replace(t, shape=shape, exponents=exponents, micro=t.micro[rows], elements=t.elements[rows])
