"""Random jobs: memory full of random bytes, operands and results in random places, and descriptors of them.

All depends on the generator's seed alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import golden
from golden.formats import BLOCK_SIZE
from mixdit_hw.footprint import WORD_BYTES, packed_bytes, regions_of, result_runs
from mixdit_hw.host import mask_bytes
from mixdit_hw.job import DESCRIPTOR_BYTES, FIELDS, Data, Fault, Job, Operand, Segment, blocks_of, raw_fields
from mixdit_hw.params import Params
from mixdit_hw.sim.job_model import run_job_at, whole_window
from mixdit_hw.sim.memory import Memory
from tests.support.matrices import KINDS, random_matrix

MEMORY_BYTES = 1 << 19
FLOATS = (Data.FP32, Data.BF16)


@dataclass
class Scene:
    """A memory with jobs in it.

    Parameters
    ----------
    params
        The design.
    memory
        Random bytes, operands and descriptors.
    window
        First and last address that jobs may touch.
    jobs
        In order, as addresses of descriptors.
    descriptors
        Their jobs.
    """

    params: Params
    memory: Memory
    window: tuple[int, int]
    jobs: list[int] = field(default_factory=list)
    descriptors: list[Job] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)

    def place(self, rng: np.random.Generator, size: int, alignment: int) -> int:
        """Address of so many bytes that nothing else has, at random."""
        for _ in range(1000):
            first = self.memory.base + int(rng.integers(0, len(self.memory) - size + 1)) // alignment * alignment
            if all(first + size <= a or b <= first for a, b in self.taken):
                self.taken.append((first, first + size))
                return first
        raise AssertionError(f"no place for {size} bytes")

    def put(self, rng: np.random.Generator, data: bytes, alignment: int) -> int:
        """Write bytes somewhere; their address."""
        address = self.place(rng, len(data), alignment)
        self.memory.write_memory(address, data)
        return address

    def add(self, rng: np.random.Generator, job: Job) -> None:
        """Append a job, and write its descriptor."""
        self.jobs.append(self.put(rng, job.pack(), 64))
        self.descriptors.append(job)

    def expected(self) -> tuple[Memory, list[Fault]]:
        """The memory after all jobs, by the model, and their faults; it ends with the first fault."""
        memory, faults = self.memory.copy(), []
        for address in self.jobs:
            faults.append(run_job_at(memory, address, self.params, self.window))
            if faults[-1] is not Fault.NONE:
                break
        return memory, faults


def random_scene(
    rng: np.random.Generator,
    params: Params,
    *,
    jobs: int = 1,
    size: int = MEMORY_BYTES,
    limits: tuple[int, int, int] | None = None,
) -> Scene:
    """A memory with so many legal jobs; the MX result of one is often the next one's A or W.

    ``limits`` are the largest M, N and K; by default a few tiles, and some K blocks more than a buffer's slot holds
    where that is at most 8.
    """
    top = 1 << params.address_bits
    base = (0, size, top // 2, top - size)[rng.integers(4)]  # at either end of the addresses too
    memory = Memory(rng.bytes(size), base)
    scene = Scene(params, memory, whole_window(params) if rng.random() < 0.5 else (base, memory.last))
    if limits is None:
        blocks = params.k_depth + 3 if params.k_depth <= 8 else 12
        limits = (2 * params.tile_rows + 5, 3 * params.columns + 20, BLOCK_SIZE * blocks)
    for tag in range(jobs):
        previous = scene.descriptors[-1] if scene.descriptors else None
        scene.add(rng, random_job(rng, scene, limits, previous, tag))
    return scene


def random_job(
    rng: np.random.Generator,
    scene: Scene,
    limits: tuple[int, int, int],
    previous: Job | None = None,
    tag: int = 0,
    count: int | None = None,
) -> Job:
    """A legal job with its operands in the scene's memory.

    ``previous``, if it has an MX result, gives A or W two times out of three. ``count``, if given, is the number of
    outliers, and K then the largest.
    """
    params = scene.params
    m, n, k = (int(rng.integers(1, limit + 1)) for limit in limits)
    a_type, w_type, c_type = (Data(int(x)) for x in rng.integers(0, 3, 3))
    inherited: str | None = None
    inherited_blocks: list[str] = []
    if previous is not None and previous.c_type is Data.MX and rng.random() < 2 / 3:
        inherited_blocks = _result_blocks(previous)
        if len(_runs(inherited_blocks)) <= 4:
            inherited = str(rng.choice(["a", "w"]))
            if inherited == "a":
                a_type, m = Data.MX, previous.m
            else:
                w_type, n = Data.MX, previous.m
            k = BLOCK_SIZE * len(inherited_blocks) - int(rng.integers(0, BLOCK_SIZE))
    outliers = 0
    if count is not None:
        k, outliers, inherited = limits[2], count, None
        a_type, w_type = FLOATS[rng.integers(2)], Data.MX
    elif a_type in FLOATS and w_type is Data.MX and inherited is None and rng.random() < 0.6:
        most = min(k, params.most_outliers)
        outliers = int(rng.integers(0, most + 1))
        if params.most_outliers and most < k and rng.random() < 0.4:
            outliers = (most + 1, k, int(rng.integers(most + 1, k + 1)))[rng.integers(3)]
    in_place = blocks_of(k)
    total = in_place + blocks_of(outliers)
    segments = _random_segments(rng, params, in_place, total, inherited, inherited_blocks)
    w_columns = w_type is Data.MX or bool(rng.integers(2))

    a_address, a_stride = _operand(rng, scene, a_type, m, k, [(s.blocks, s.a) for s in segments])
    rows, length = (n, k) if w_columns else (k, n)
    w_address, w_stride = _operand(rng, scene, w_type, rows, length, [(s.blocks, s.w) for s in segments])
    if inherited is not None and previous is not None:
        if inherited == "a":
            a_address, a_stride = previous.c_address, previous.c_stride
        else:
            w_address, w_stride = previous.c_address, previous.c_stride

    formats = (str(rng.choice(params.formats)), str(rng.choice(params.formats)))
    split = (0, n, int(rng.integers(0, n + 1)))[rng.integers(3)]
    head = (0, 16, int(rng.integers(1, n + 2)), 65535)[rng.integers(4)]
    if c_type is Data.MX:
        runs = [(blocks_of(size), golden.get_format(formats[i])) for i, size in result_runs(n, split, head)]
        row_bytes = packed_bytes(runs)
    else:
        row_bytes = n * WORD_BYTES[c_type]
    element = 4 if c_type is Data.FP32 else 2
    c_stride = -(-row_bytes // element) * element + element * (0, 0, 1, int(rng.integers(0, 33)))[rng.integers(4)]
    c_address = scene.place(rng, (m - 1) * c_stride + row_bytes, element)
    channels = rng.permutation(k)[:outliers]
    mask = bytearray(mask_bytes(channels, k))
    if k % BLOCK_SIZE:  # bits behind the last channel mean nothing
        word = int.from_bytes(mask[-2:], "little") | int(rng.integers(0, 1 << 16)) << k % BLOCK_SIZE & 0xFFFF
        mask[-2:] = word.to_bytes(2, "little")
    affine = {name: _affine(rng, scene, n) for name in ("scale", "bias")}
    return Job(
        m=m,
        n=n,
        k=k,
        a_address=a_address,
        w_address=w_address,
        c_address=c_address,
        a_stride=a_stride,
        w_stride=w_stride,
        c_stride=c_stride,
        a_type=a_type,
        w_type=w_type,
        c_type=c_type,
        w_columns=w_columns,
        segments=segments,
        outliers=outliers,
        mask_address=scene.put(rng, bytes(mask), 2) if outliers else int(rng.integers(1 << 32)),
        c_formats=formats,
        c_split=split,
        c_head=head,
        scale_mode=affine["scale"][0],
        bias_mode=affine["bias"][0],
        scale=affine["scale"][1],
        bias=affine["bias"][1],
        rounding=int(rng.integers(3)),
        interrupt=bool(rng.integers(2)),
        tag=tag,
    )


def illegal_descriptor(rng: np.random.Generator, scene: Scene, job: Job, fault: Fault) -> bytes | None:
    """The descriptor of a legal job, changed at random so that it has this fault first; None where it cannot be.

    For MASK the mask in the scene's memory changes instead. Other faults may follow the wanted one in the order of the
    checks, so that a checker that tells another than the first is found.
    """
    raw = raw_fields(job.pack())
    changed = None
    for i in rng.permutation(len(BREAKS[fault])):
        changed = BREAKS[fault][i](dict(raw), scene, rng)
        if changed is not None:
            break
    if changed is None:
        return None
    later = [f for f in BREAKS if f > fault and f is not Fault.MASK]
    if later and rng.random() < 0.5:
        other = BREAKS[later[int(rng.integers(len(later)))]]
        second = other[int(rng.integers(len(other)))](dict(raw), scene, rng) or {}
        changed = {**changed, **{key: x for key, x in second.items() if changed.get(key, 0) == raw.get(key, 0)}}
    return pack_raw(changed)


def pack_raw(raw: dict[str, int]) -> bytes:
    """A descriptor of any fields; ``reserved`` is or-ed in as a number of 1024 bits."""
    whole = raw.get("reserved", 0)
    for name, (word, low, bits) in FIELDS.items():
        assert 0 <= raw[name] < 1 << bits, (name, raw[name])
        whole |= raw[name] << 32 * word + low
    return whole.to_bytes(DESCRIPTOR_BYTES, "little")


Raw = dict[str, int]
Break = Callable[[Raw, Scene, np.random.Generator], Raw | None]


def _set(**values: int) -> Break:
    return lambda raw, scene, rng: {**raw, **values}


def _when(condition: Callable[[Raw, Scene], bool], change: Break) -> Break:
    return lambda raw, scene, rng: change(raw, scene, rng) if condition(raw, scene) else None


def _reserved(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw:
    used = sum((1 << bits) - 1 << 32 * word + low for word, low, bits in FIELDS.values())
    free = [i for i in range(8 * DESCRIPTOR_BYTES) if not used >> i & 1]
    return {**raw, "reserved": 1 << free[int(rng.integers(len(free)))]}


def _float(raw: Raw, scene: Scene) -> bool:
    return not raw["a_type"] == raw["w_type"] == Data.MX


def _outliers_without_mx9(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    """Outliers in a design that has no format for them, with segments that fit them."""
    if raw["a_type"] == Data.MX or raw["w_type"] != Data.MX or "mx9" in scene.params.formats:
        return None
    outliers = int(rng.integers(1, raw["k"] + 1))
    codes = scene.params.format_set[0].code, int(rng.choice([golden.get_format("mx9").code, raw["segment0_a"]]))
    blocks = {f"segment{i}_{part}": 0 for i in range(4) for part in ("blocks", "a", "w")}
    for i, count in enumerate((blocks_of(raw["k"]), blocks_of(outliers))):
        blocks |= {f"segment{i}_blocks": count, f"segment{i}_a": codes[i], f"segment{i}_w": codes[0]}
    return {**raw, **blocks, "outliers": outliers}


def _lacking(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    """A format that the design lacks, or none at all."""
    codes = [c for c in range(4) if c not in [f.code for f in scene.params.format_set]]
    return {**raw, f"segment0_{rng.choice(['a', 'w'])}": int(rng.choice(codes))}


def _used_result_format(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    return {**raw, "c_format0" if raw["c_split"] else "c_format1": 3}


def _outlier_format(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    others = [f.code for f in scene.params.format_set if f.name != "mx9"]
    if not raw["outliers"] or not others:
        return None
    last = max(i for i in range(4) if raw[f"segment{i}_blocks"])
    return {**raw, f"segment{last}_a": int(rng.choice(others))}


def _boundary(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    """Segments of the right length without an end where the outliers begin."""
    if not raw["outliers"] or blocks_of(raw["k"]) < 2:
        return None
    total = blocks_of(raw["k"]) + blocks_of(raw["outliers"])
    code = golden.get_format("mx9").code
    rest = {f"segment{i}_{part}": 0 for i in range(2, 4) for part in ("blocks", "a", "w")}
    first = {"segment0_blocks": blocks_of(raw["k"]) - 1, "segment1_blocks": total - blocks_of(raw["k"]) + 1}
    return {**raw, **rest, **first, "segment0_a": code, "segment1_a": code, "segment1_w": raw["segment0_w"]}


def _misaligned(name: str, by: int, condition: Callable[[Raw, Scene], bool] = lambda raw, scene: True) -> Break:
    return _when(condition, lambda raw, scene, rng: {**raw, name: raw[name] + by})


def _is(name: str, value: int) -> Callable[[Raw, Scene], bool]:
    return lambda raw, scene: raw[name] == value


def _wrap(name: str, condition: Callable[[Raw, Scene], bool] = lambda raw, scene: True) -> Break:
    """The first byte is one of the last ones, or the address has a bit too many."""

    def change(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
        top = 1 << scene.params.address_bits
        if scene.params.address_bits < 64 and rng.random() < 0.5:
            return {**raw, name: raw[name] | top << int(rng.integers(0, 64 - scene.params.address_bits))}
        region = regions_of(raw)[name.removesuffix("_address")]
        return {**raw, name: top - 4} if region.end - region.address > 4 else None

    return _when(condition, change)


def _stride_wraps(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    stride = (1 << 32) - 4
    beyond = raw["a_address"] + (raw["m"] - 1) * stride >= 1 << scene.params.address_bits
    return {**raw, "a_stride": stride} if beyond else None


def _outside(name: str, condition: Callable[[Raw, Scene], bool] = lambda raw, scene: True) -> Break:
    """Outside of a window that has another end than the addresses."""

    def change(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
        base, _ = scene.window
        return {**raw, name: base - 4} if base else None

    return _when(condition, change)


def _mask(raw: Raw, scene: Scene, rng: np.random.Generator) -> Raw | None:
    if not raw["outliers"]:
        return None
    channel = int(rng.integers(raw["k"]))
    place = raw["mask_address"] + channel // 8
    byte = scene.memory.read_memory(place, 1)[0] ^ 1 << channel % 8
    scene.memory.write_memory(place, bytes([byte]))
    return raw


def _has_outliers(raw: Raw, scene: Scene) -> bool:
    return raw["outliers"] > 0


BREAKS: dict[Fault, list[Break]] = {
    Fault.VERSION: [
        _set(version=0),
        _set(version=2),
        _set(version=0x81),
        _reserved,
        *(_set(**{name: 3}) for name in ("scale_mode", "bias_mode", "rounding")),
    ],
    Fault.SIZE: [_set(**{name: value}) for name in "mnk" for value in (0, 65536, 1 << 31)],
    Fault.FORMAT: [
        *(_set(**{f"{name}_type": 3}) for name in "awc"),
        _when(_is("w_type", Data.MX), _set(w_columns=0)),
        _set(segment0_blocks=0),
        _when(_is("segment1_blocks", 0), _set(segment2_blocks=1)),
        _lacking,
        _when(lambda raw, scene: raw["a_type"] == Data.MX or raw["w_type"] != Data.MX, _set(outliers=1)),
        _outliers_without_mx9,
        _when(_float, lambda raw, scene, rng: {**raw, "segment0_blocks": raw["segment0_blocks"] + 1}),
        _when(
            lambda raw, scene: not _float(raw, scene) and raw["segment1_blocks"] > 0,
            _set(segment0_blocks=65535),
        ),
        _outlier_format,
        _boundary,
        _when(_is("c_type", Data.MX), lambda raw, scene, rng: {**raw, "c_split": raw["n"] + 1, "c_format0": 1}),
        _when(_is("c_type", Data.MX), _used_result_format),
    ],
    Fault.ALIGNMENT: [
        *(_misaligned(f"{x}_{what}", 1) for x in "awc" for what in ("address", "stride")),
        *(_misaligned(f"{x}_{what}", 2, _is(f"{x}_type", 0)) for x in "awc" for what in ("address", "stride")),
        _misaligned("mask_address", 1, _has_outliers),
        *(_misaligned(name, by, _is(f"{name}_mode", 2)) for name in ("scale", "bias") for by in (1, 2)),
    ],
    Fault.WRAP: [
        *(_wrap(f"{name}_address") for name in "awc"),
        _stride_wraps,
        _wrap("mask_address", _has_outliers),
        *(_wrap(name, _is(f"{name}_mode", 2)) for name in ("scale", "bias")),
    ],
    Fault.WINDOW: [
        *(_outside(f"{name}_address") for name in "awc"),
        _outside("mask_address", _has_outliers),
        *(_outside(name, _is(f"{name}_mode", 2)) for name in ("scale", "bias")),
    ],
    Fault.MASK: [_mask],
}


def _result_blocks(job: Job) -> list[str]:
    """Format of each block of a row of an MX result."""
    runs = result_runs(job.n, job.c_split, job.c_head)
    return [job.c_formats[i] for i, length in runs for _ in range(blocks_of(length))]


def _runs(blocks: list[str]) -> list[tuple[int, str]]:
    runs: list[tuple[int, str]] = []
    for name in blocks:
        if runs and runs[-1][1] == name:
            runs[-1] = (runs[-1][0] + 1, name)
        else:
            runs.append((1, name))
    return runs


def _random_segments(
    rng: np.random.Generator,
    params: Params,
    in_place: int,
    total: int,
    inherited: str | None,
    blocks: list[str],
) -> tuple[Segment, ...]:
    def choose() -> str:
        return str(rng.choice(params.formats))

    if inherited is not None:
        runs = _runs(blocks)
        if inherited == "a":
            return tuple(Segment(blocks=count, a=name, w=choose()) for count, name in runs)
        return tuple(Segment(blocks=count, a=choose(), w=name) for count, name in runs)
    must = {in_place} if total > in_place else set()
    cuts = must | {int(x) for x in rng.integers(1, total, int(rng.integers(0, 4 - len(must))))} if total > 1 else must
    ends = [*sorted(cuts), total]
    segments, first = [], 0
    for end in ends:
        if end > first:
            segments.append(Segment(blocks=end - first, a="mx9" if first >= in_place else choose(), w=choose()))
        first = end
    return tuple(segments)


def _operand(
    rng: np.random.Generator, scene: Scene, kind: Data, rows: int, length: int, blocks: list[tuple[int, str]]
) -> tuple[int, int]:
    """Write an operand somewhere; its address and stride."""
    if kind is Data.MX:
        element = 2
        parts = [golden.get_format(name) for count, name in blocks for _ in range(count)]
        x = random_matrix(rng, (rows, BLOCK_SIZE * len(parts)), _kind(rng))
        packed = [
            golden.quantize(np.ascontiguousarray(x[:, 16 * i : 16 * i + 16]), fmt).pack().reshape(rows, -1)
            for i, fmt in enumerate(parts)
        ]
        data = np.concatenate(packed, axis=1)
        if rng.random() < 0.3:  # any bits are blocks
            noise = rng.integers(0, 256, data.shape, np.uint8)
            data = np.where(rng.random(data.shape) < 0.05, noise, data)
    else:
        element = 4 if kind is Data.FP32 else 2
        x = random_matrix(rng, (rows, length), _kind(rng))
        words = x.astype("<f4") if kind is Data.FP32 else golden.to_bfloat16(x).astype("<u2")
        data = np.frombuffer(words.tobytes(), np.uint8).reshape(rows, -1)
    size = data.shape[1]
    # Rows of operands may be the same or overlap.
    choices = [size, size, size + element * int(rng.integers(1, 33)), 0, element * int(rng.integers(1, 9))]
    stride = int(rng.choice(choices, p=[0.3, 0.2, 0.4, 0.05, 0.05]))
    address = scene.place(rng, (rows - 1) * stride + size, element)
    for i, row in enumerate(data):
        scene.memory.write_memory(address + i * stride, row.astype(np.uint8).tobytes())
    return address, stride


def _affine(rng: np.random.Generator, scene: Scene, n: int) -> tuple[Operand, int]:
    mode = Operand(int(rng.integers(3)))
    if mode is Operand.COLUMN:
        words = random_matrix(rng, (1, n), str(rng.choice(["gaussian", "wide", "nonfinite"])))
        return mode, scene.put(rng, words.astype("<f4").tobytes(), 4)
    value = int(np.float32(rng.standard_normal()).view(np.uint32))
    return mode, value | int(rng.integers(1 << 32)) << 32  # the upper half means nothing


def _kind(rng: np.random.Generator) -> str:
    """Mostly numbers of similar size, whose results are seldom all NaN or 0."""
    return str(rng.choice(["gaussian", "wide", *KINDS]))
