"""Samples of every candidate, in pieces that are kept: a run that was stopped goes on where it was."""

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np

from golden.diffusion import Schedule, sample
from golden.dit import DiT, Gemm, matmul
from golden.policy import is_exempt

from ..checkpoint import load_dit
from ..errors import InputError, MixditError, ToolError
from ..files import open_input, read_npz, write_npz
from .candidates import BASE, Candidate, product_of

PIECE = 50  # images
STRIP = 10  # images of a candidate in the report
LAYER_SEEDS = 5
LAYER_IMAGES = 2
_FORMAT = "mixdit-quality/1"
_LAYER_SEED, _REFERENCE_SEED = 1 << 21, 1 << 22
_STREAMED = 1 << 28  # bytes of a checkpoint from which on weights are not kept
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How images are made; the same for all candidates.

    Parameters
    ----------
    checkpoint
        A DiT that `load_dit` reads.
    samples
        Images of each candidate; whole pieces are made.
    steps, guidance, eta, clip, guided_channels
        As for `golden.diffusion.denoise`.
    seed
        Piece j draws its noise with ``seed`` + j; labels go round.
    """

    checkpoint: Path
    samples: int
    steps: int = 16
    guidance: float = 2.0
    eta: float = 0.0
    clip: float | None = 1.0
    guided_channels: int | None = None
    seed: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """Options of the sampler, without those that are its defaults."""
        options: dict[str, Any] = {"steps": self.steps, "guidance": self.guidance, "eta": self.eta}
        if self.clip != 1:
            options["clip"] = self.clip
        if self.guided_channels is not None:
            options["guided_channels"] = self.guided_channels
        return options

    @property
    def pieces(self) -> int:
        """Pieces that hold that many images."""
        return -(-self.samples // PIECE)

    @cached_property
    def checkpoint_digest(self) -> str:
        """SHA-256 of the checkpoint."""
        digest = hashlib.sha256()
        with open_input(self.checkpoint) as file:
            while part := file.read(1 << 20):
                digest.update(part)
        return digest.hexdigest()

    def digest(self, candidate: Candidate) -> str:
        """Of everything that images of a candidate depend on, but for the number of the piece."""
        parts = [_FORMAT, self.checkpoint_digest, self.options, self.seed, PIECE, candidate.spec()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One file to make."""

    path: Path
    kind: str  # images or layers
    spec: str
    seed: int
    count: int  # of images
    options: dict[str, Any]


class LayerNoise:
    """A `Gemm` that measures the noise of another one, product by product, against float32 of the same operands."""

    def __init__(self, gemm: Gemm) -> None:
        self.sums: dict[str, np.ndarray] = {}  # signal and noise
        self._gemm = gemm

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Multiply as the other one does."""
        result = self._gemm(name, a, w)
        if not is_exempt(name):
            exact = matmul(name, a, w).astype(np.float64)
            found = np.array([np.sum(exact**2), np.sum((exact - result) ** 2)])
            self.sums[name] = self.sums.get(name, 0) + found
        return result


class Store:
    """The pieces of a run in a folder.

    Parameters
    ----------
    folder
        Where they are kept; files of other settings and candidates may lie there too.
    sampling
        How images are made.
    """

    def __init__(self, folder: Path, sampling: Sampling) -> None:
        self._folder = folder
        self._sampling = sampling

    def tasks(self, candidates: Sequence[Candidate], *, reference: bool) -> Iterator[Task]:
        """All files, done or not: piece after piece of all candidates, then the layers."""
        sampling = self._sampling
        for piece in range(sampling.pieces):
            for candidate in candidates:
                yield self._task(candidate, "images", sampling.seed + piece)
            if reference:
                base = next(c for c in candidates if c.name == BASE)
                yield self._task(base, "images", sampling.seed + _REFERENCE_SEED + piece)
        for seed in range(LAYER_SEEDS):
            for candidate in candidates:
                if candidate.name != BASE:
                    yield self._task(candidate, "layers", sampling.seed + _LAYER_SEED + seed)

    def images(self, candidate: Candidate, *, reference: bool = False) -> np.ndarray:
        """Images of a candidate, float32 (samples, C, S, S), or those of other noise.

        Raises
        ------
        InputError
            A file is missing or damaged.
        """
        sampling = self._sampling
        first = sampling.seed + (_REFERENCE_SEED if reference else 0)
        tasks = [self._task(candidate, "images", first + piece) for piece in range(sampling.pieces)]
        parts = [read_npz(task.path, {"images": "float32"})["images"] for task in tasks]
        return np.concatenate(parts)[: sampling.samples]

    def strip(self, candidate: Candidate) -> np.ndarray:
        """A few images of a candidate; as `images`."""
        task = self._task(candidate, "images", self._sampling.seed)
        return read_npz(task.path, {"images": "float32"})["images"][:STRIP]

    def layers(self, candidate: Candidate) -> dict[str, list[float]]:
        """Signal to quantisation noise of each product, dB, for each of the layers' seeds."""
        found: dict[str, list[float]] = {}
        for seed in range(LAYER_SEEDS):
            task = self._task(candidate, "layers", self._sampling.seed + _LAYER_SEED + seed)
            arrays = read_npz(task.path, {"names": "str", "sums": "float64"})
            for name, sums in zip(arrays["names"].tolist(), arrays["sums"], strict=True):
                found.setdefault(name, []).append(_decibels(*sums))
        return found

    def _task(self, candidate: Candidate, kind: str, seed: int) -> Task:
        name = f"{candidate.name}-{self._sampling.digest(candidate)}-{kind}-{seed}.npz"
        path = self._folder / name
        return Task(
            path=path,
            kind=kind,
            spec=candidate.spec(),
            seed=seed,
            count=PIECE if kind == "images" else LAYER_IMAGES,
            options=self._sampling.options,
        )


def _decibels(signal: float, noise: float) -> float:
    """Infinite without noise, and where there is nothing but noise."""
    return float(10 * np.log10(signal / noise)) if noise and signal else float("inf")


def run_tasks(
    tasks: Sequence[Task], checkpoint: Path, *, workers: int, advance: Callable[[int, int], None] | None = None
) -> int:
    """Do what is not done yet, and return how many that were.

    Parameters
    ----------
    tasks
        What there is to do; done is what has its file, if that is whole.
    checkpoint
        Of the DiT.
    workers
        Processes; with 1, this one.
    advance
        Is told how many of all files there are, and how many there are to be.

    Raises
    ------
    ToolError
        A process was killed. What is done is kept.
    OutputError
        A file cannot be written.
    """
    left = [task for task in tasks if not _is_done(task)]
    done = len(tasks) - len(left)
    advance = advance or (lambda done, total: None)
    advance(done, len(tasks))
    if workers == 1:
        model, schedule = load(checkpoint)
        for number, task in enumerate(left, done + 1):
            _do(task, model, schedule)
            advance(number, len(tasks))
        return len(left)
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # of the processes to come
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(checkpoint, os.getpid()))
    try:
        waiting = {pool.submit(_do_here, task) for task in left}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            done += len(finished)
            advance(done, len(tasks))
    except BrokenProcessPool:
        raise ToolError("a process that samples was killed; the same command goes on where it was") from None
    except BaseException:  # an interrupt too: what is at work is lost, what is done is kept
        for process in active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return len(left)


def load(checkpoint: Path) -> tuple[DiT, Schedule]:
    """A DiT with its schedule, weights in memory or, of a large file, read when they are used."""
    return load_dit(checkpoint, streaming=checkpoint.is_file() and checkpoint.stat().st_size > _STREAMED)


_MODEL: list[tuple[DiT, Schedule] | MixditError] = []  # of a process of the pool


def _start(checkpoint: Path, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its processes
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        _MODEL.append(load(checkpoint))
    except MixditError as e:
        _MODEL.append(e)


def _end_with(parent: int) -> None:
    """End this process when the one that started it has: nobody else would, were that one killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _do_here(task: Task) -> None:
    if isinstance(_MODEL[0], MixditError):
        raise _MODEL[0]
    _do(task, *_MODEL[0])


def _is_done(task: Task) -> bool:
    """Whether its file is there, whole and of the right kind."""
    if not task.path.exists():
        return False
    try:
        if task.kind == "images":
            return len(read_npz(task.path, {"images": "float32"})["images"]) == task.count
        read_npz(task.path, {"names": "str", "sums": "float64"})
    except InputError:
        return False
    return True


def _do(task: Task, model: DiT, schedule: Schedule) -> None:
    gemm = product_of(task.spec)
    labels = piece_labels(task.count, model.config.classes, task.seed if task.kind == "layers" else 0)
    if task.kind == "images":
        arrays = {"images": sample(model, schedule, labels, seed=task.seed, gemm=gemm, **task.options)}
    else:
        noise = LayerNoise(gemm)
        sample(model, schedule, labels, seed=task.seed, gemm=noise, **task.options)
        arrays = {"names": np.array(list(noise.sums)), "sums": np.stack(list(noise.sums.values()))}
    write_npz(task.path, arrays)


def piece_labels(count: int, classes: int, first: int = 0) -> list[int]:
    """Labels of a piece's images, which go round all classes."""
    return [(first + i) % classes for i in range(count)]


def sampled_labels(samples: int, classes: int) -> np.ndarray:
    """Labels of all images of a candidate, int64 (samples,)."""
    pieces = -(-samples // PIECE)
    return np.array(piece_labels(PIECE, classes) * pieces)[:samples]
