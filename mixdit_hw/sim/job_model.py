"""What a job must do to memory, and which fault it must end in: the golden model of the accelerator.

The checks, in this order; the first that fails names the fault, and nothing is written then. Fields are the raw ones of
`mixdit_hw.job.FIELDS`; a field that is not named in a check may hold anything.

Before the descriptor is read
    ALIGNMENT  its address is no multiple of 4.
    WINDOW     one of its 128 bytes is outside of the window, or beyond the last address.
VERSION
    ``version`` is not 1; a bit that is in no field is set; ``scale_mode``, ``bias_mode`` or ``rounding`` is 3.
    (Where the rounding is not chosen at run time, its values 0 to 2 mean nothing.)
SIZE
    ``m``, ``n`` or ``k`` is 0 or above 65535.
FORMAT
    - ``a_type``, ``w_type`` or ``c_type`` is 3.
    - W is MX and ``w_columns`` is 0.
    - Segment 0 has no blocks, or a segment has blocks whose predecessor has none. Formats of segments without blocks
      mean nothing.
    - A format of a segment with blocks (of A or W, also where that is FP32 or BF16 or MX) is 3 or none of the design's.
    - ``outliers`` is not 0, and A is MX, or W is not, or the design has no MX9.
    - A or W is FP32 or BF16, and the segments' blocks are not ceil(k/16) + ceil(outliers/16) in all.
    - A and W are MX, and the segments have more than 65535 blocks in all. (``k`` means nothing else then.)
    - ``outliers`` is not 0, and no segment ends with block ceil(k/16), or a segment behind that has A in another format
      than MX9.
    - C is MX, and ``c_split`` is above ``n``; or a format that is used (the first where ``c_split`` is not 0, the
      second where it is not ``n``) is 3 or none of the design's. ``c_head`` may be anything; from ``c_split`` on it is
      as 0.
ALIGNMENT
    Address or stride of A, W or C is no multiple of 4 (FP32) or 2 (BF16, MX), strides of one row too; with outliers the
    mask's address is odd; scale's or bias's address, for COLUMN, is no multiple of 4.
WRAP
    A byte of A, W, C, the mask, scale or bias is beyond the last address, 2^address_bits - 1. The bytes of a matrix
    go from its address to the end of its last row, (rows - 1) * stride + bytes of a row; strides are unsigned. The mask
    has 2 * ceil(k/16) bytes, scale and bias have 4 * n.
WINDOW
    A byte of them, gaps between rows included, is below the window's first or above its last.
MASK
    With outliers: the mask's first k bits do not have so many ones. Bits behind them mean nothing.

Where rows of C overlap each other, or C overlaps what the job reads, the accelerator may write and read in another
order than this model.
"""

import numpy as np

import golden
from golden import MXTensor
from golden.formats import BLOCK_SIZE, MX9

from ..footprint import FORMAT_OF_CODE, Region, regions_of, result_runs
from ..job import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_VERSION,
    FIELDS,
    MAX_SEGMENTS,
    MAX_SIZE,
    Data,
    Fault,
    Job,
    Operand,
    blocks_of,
    raw_fields,
    reserved_mask,
)
from ..params import ROUNDINGS, Params
from .memory import Memory

DESCRIPTOR_ALIGNMENT = 4
_UNDEFINED = 3  # the code that no type, mode or format has
_RESERVED = reserved_mask()

Window = tuple[int, int]


def whole_window(params: Params) -> Window:
    """The window that lets everything through: the first and the last address."""
    return 0, (1 << params.address_bits) - 1


def run_job(memory: Memory, job: Job, params: Params, window: Window | None = None) -> Fault:
    """Do a job whose descriptor is not in memory: check it, and write C where it has no fault."""
    return run_descriptor(memory, job.pack(), params, window)


def run_job_at(memory: Memory, address: int, params: Params, window: Window | None = None) -> Fault:
    """Do the job whose descriptor is at an address."""
    base, last = whole_window(params) if window is None else window
    if address % DESCRIPTOR_ALIGNMENT:
        return Fault.ALIGNMENT
    if address < base or address + DESCRIPTOR_BYTES - 1 > min(last, whole_window(params)[1]):
        return Fault.WINDOW
    return run_descriptor(memory, memory.read_memory(address, DESCRIPTOR_BYTES), params, window)


def run_descriptor(memory: Memory, descriptor: bytes, params: Params, window: Window | None = None) -> Fault:
    """Do the job of a descriptor of 128 bytes.

    Parameters
    ----------
    memory
        Holds the operands and gets C; no other byte of it changes.
    descriptor
        Any bytes.
    params
        The design.
    window
        First and last address that jobs may touch; all by default.

    Returns
    -------
    Fault
        NONE, and C is written; or the first fault, and nothing is.

    Raises
    ------
    IndexError
        The memory lacks bytes that the window lets through.
    """
    fault = check_descriptor(memory, descriptor, params, window)
    if fault is Fault.NONE:
        _write_result(memory, Job.unpack(_without_unused(descriptor)), params)
    return fault


def check_descriptor(memory: Memory, descriptor: bytes, params: Params, window: Window | None = None) -> Fault:
    """The fault of a descriptor, by the rules above; of memory only the mask is read."""
    raw = raw_fields(descriptor)
    if raw["version"] != DESCRIPTOR_VERSION or int.from_bytes(descriptor, "little") & _RESERVED:
        return Fault.VERSION
    if _UNDEFINED in (raw["scale_mode"], raw["bias_mode"], raw["rounding"]):
        return Fault.VERSION
    if not all(1 <= raw[name] <= MAX_SIZE for name in ("m", "n", "k")):
        return Fault.SIZE
    if not _formats_fit(raw, params):
        return Fault.FORMAT
    regions = regions_of(raw).values()
    if any(r.address % r.element or r.stride % r.element for r in regions):
        return Fault.ALIGNMENT
    if any(r.end > 1 << params.address_bits for r in regions):
        return Fault.WRAP
    base, last = whole_window(params) if window is None else window
    if any(r.address < base or r.end - 1 > last for r in regions):
        return Fault.WINDOW
    if raw["outliers"] and len(_mask_channels(memory, raw["mask_address"], raw["k"])) != raw["outliers"]:
        return Fault.MASK
    return Fault.NONE


def _formats_fit(raw: dict[str, int], params: Params) -> bool:
    """The rules of FORMAT."""
    codes = {f.code for f in params.format_set}
    types = {name: raw[f"{name}_type"] for name in "awc"}
    if _UNDEFINED in types.values() or (types["w"] == Data.MX and not raw["w_columns"]):
        return False
    blocks = [raw[f"segment{i}_blocks"] for i in range(MAX_SEGMENTS)]
    count = sum(b > 0 for b in blocks)
    if not count or not all(blocks[:count]):
        return False
    if any(raw[f"segment{i}_{side}"] not in codes for i in range(count) for side in "aw"):
        return False
    outliers, in_place = raw["outliers"], blocks_of(raw["k"])
    if outliers and (types["a"] == Data.MX or types["w"] != Data.MX or MX9.name not in params.formats):
        return False
    if types["a"] == types["w"] == Data.MX:
        if sum(blocks) > MAX_SIZE:
            return False
    elif sum(blocks) != in_place + blocks_of(outliers):
        return False
    if outliers:
        ends = np.cumsum(blocks[:count]).tolist()
        if in_place not in ends:
            return False
        if any(raw[f"segment{i}_a"] != MX9.code for i in range(ends.index(in_place) + 1, count)):
            return False
    if types["c"] == Data.MX:
        split = raw["c_split"]
        if split > raw["n"]:
            return False
        used = ([raw["c_format0"]] if split else []) + ([raw["c_format1"]] if split < raw["n"] else [])
        return all(code in codes for code in used)
    return True


def _without_unused(descriptor: bytes) -> bytes:
    """The descriptor with 0 in the formats that mean nothing, which may be undefined."""
    raw = raw_fields(descriptor)
    unused = {f"segment{i}_{side}" for i in range(MAX_SEGMENTS) for side in "aw" if not raw[f"segment{i}_blocks"]}
    unused |= {f"c_format{i}" for i in range(2) if raw[f"c_format{i}"] not in FORMAT_OF_CODE}
    whole = int.from_bytes(descriptor, "little")
    for name in unused:
        word, low, bits = FIELDS[name]
        whole &= ~((1 << bits) - 1 << (32 * word + low))
    return whole.to_bytes(DESCRIPTOR_BYTES, "little")


def _mask_channels(memory: Memory, address: int, k: int) -> np.ndarray:
    """Channels that a mask marks, ascending."""
    data = np.frombuffer(memory.read_memory(address, 2 * blocks_of(k)), np.uint8)
    return np.flatnonzero(np.unpackbits(data, bitorder="little")[:k])


def _write_result(memory: Memory, job: Job, params: Params) -> None:
    """Compute C and write it."""
    raw = raw_fields(job.pack())
    regions = regions_of(raw)
    rounding = ROUNDINGS[job.rounding] if params.rounding == "runtime" else params.rounding
    options = {"rounding": rounding, "subnormals": params.subnormals, "nonfinite": params.nonfinite}

    a = _stored(memory, regions["a"], job, "a", options)
    w = _stored(memory, regions["w"], job, "w", options)
    columns = {
        name: _column_words(memory, regions.get(name), getattr(job, f"{name}_mode"), getattr(job, name))
        for name in ("scale", "bias")
    }
    y = golden.scale_and_bias(golden.gemm(a, w), **columns)

    if job.c_type is Data.FP32:
        packed = y.astype("<f4")
    elif job.c_type is Data.BF16:
        packed = golden.to_bfloat16(y).astype("<u2")
    else:
        parts, first = [], 0
        for number, length in result_runs(job.n, job.c_split, job.c_head):
            part = np.ascontiguousarray(y[:, first : first + length])
            parts.append(golden.quantize(part, job.c_formats[number], axis=1, **options))
            first += length
        packed = golden.concat(parts).pack().reshape(job.m, -1)
    region = regions["c"]
    for i, row in enumerate(packed):
        memory.write_memory(region.address + i * region.stride, row.tobytes())


def _column_words(memory: Memory, region: Region | None, mode: Operand, value: int) -> np.ndarray | None:
    """Scale or bias as FP32, for all columns or for each."""
    if region is not None:
        return np.frombuffer(memory.read_memory(region.address, region.row_bytes), "<f4")
    return np.array(value & 0xFFFFFFFF, np.uint32).view(np.float32) if mode is Operand.TENSOR else None


def _stored(memory: Memory, region: Region, job: Job, side: str, options: dict[str, str]) -> MXTensor:
    """An operand in its stored blocks, all of which count as full: their padding is data like any other."""
    axis = 1 if side == "a" else 0
    segments = [
        golden.Segment(format=golden.get_format(getattr(s, side)), length=BLOCK_SIZE * s.blocks) for s in job.segments
    ]
    length = sum(s.length for s in segments)
    rows = b"".join(
        memory.read_memory(region.address + i * region.stride, region.row_bytes) for i in range(region.rows)
    )
    kind = getattr(job, f"{side}_type")
    if kind is Data.MX:
        shape = (region.rows, length) if side == "a" else (length, region.rows)
        return golden.unpack(np.frombuffer(rows, np.uint8), segments, shape, axis)

    if kind is Data.FP32:
        x = np.frombuffer(rows, "<f4").astype(np.float32, copy=False)
    else:
        x = golden.from_bfloat16(np.frombuffer(rows, "<u2").astype(np.uint16, copy=False))
    x = x.reshape(region.rows, -1)
    if side == "w" and not job.w_columns:
        x = x.T
    padded = np.zeros((len(x), length), np.float32)
    padded[:, : job.k] = x
    if job.outliers:
        channels = _mask_channels(memory, job.mask_address, job.k)
        padded[:, channels] = 0
        first = BLOCK_SIZE * blocks_of(job.k)
        padded[:, first : first + job.outliers] = x[:, channels]
    parts, first = [], 0
    for s in segments:
        part = padded[:, first : first + s.length]
        oriented = np.ascontiguousarray(part if axis == 1 else part.T)
        parts.append(golden.quantize(oriented, s.format, axis, **options))
        first += s.length
    return golden.concat(parts)
