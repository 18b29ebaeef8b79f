"""Matrix multiplication of MX tensors, bit for bit as the hardware does it (docs/numerics.md, Accumulation).

For every output, and for one K block of 16 after the other in stored order: the block's dot product S, an exact
integer, becomes the FP32 word P = S * 2^(Ea + Eb - 254 - ma - mb), and acc = RN32(acc + P), starting at +0.

Both ways of computing a block below are exact. The fast one multiplies the float32 values, when the exponents of all
block pairs concerned lie in the window

    128 + ma + mb <= Ea + Eb <= 376

Every product of two values is then a multiple of u = 2^-126 (u = 2^(Ea + Eb - 254 - ma - mb) or more), the sum of 16 of
them is below 2^24 such units and below 2^128, so that all partial sums are float32 numbers: any order of summation,
with or without fused multiply-add, gives P. While only such blocks were added, acc is a multiple of 2^-126 too, since
rounding a multiple of 2^-126 to float32 gives another (or infinity); so no sum can be subnormal, and nothing is to be
flushed. The integer way multiplies a' and b' instead, whose sums are below 2^24 as well, and scales S in float64, where
every power of two needed is exact. After it acc may be anything, and from there on every sum is checked for a
subnormal.

P may be -0 where the definition says +0, and after flushing so may acc; that affects no sum but -0, and adding +0 at
the end makes it +0.

Each block is a matrix product of its own, with 16 positions along K: little work to share. One BLAS thread
(OPENBLAS_NUM_THREADS=1, or the like of another BLAS, set before NumPy is imported) is therefore faster than many, for
outputs of some hundred rows and columns several times, and more where other processes use the cores.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .checks import check_choice
from .formats import BLOCK_SIZE, EXPONENT_BIAS, EXPONENT_NAN, Format
from .operands import check_stacks
from .tensor import CANONICAL_NAN, MXTensor, decode

ACCUMULATIONS = ("fp32",)
SUBNORMALS = ("ftz", "ieee")

_MIN_NORMAL = 2.0**-126
_PANEL_ROWS, _PANEL_COLUMNS = 512, 1152  # of a panel of outputs; its sums and one block's products: 4.5 MiB
_PANEL_OUTPUTS = 1 << 17  # of a panel of several whole products of a stack
_NEUTRAL = 1024  # exponent of a block that never leaves the window: all zero, or NaN and dealt with elsewhere


@dataclass(frozen=True, kw_only=True, eq=False)
class Operand:
    """An MXTensor made ready for `gemm`, so that a matrix used several times is decoded once.

    Parameters
    ----------
    tensor
        Where it comes from.
    values
        float32 (rows, 16 * blocks), C order, or its transpose in C order for a W that is no stack: values; those of
        NaN blocks mean nothing.
    low, high
        int16 (rows, blocks): shared exponents; 1024 and -1024 where the block is all zero or NaN.
    nan
        bool (rows,): whether the row has a NaN block.
    """

    tensor: MXTensor
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    nan: np.ndarray

    def integers(self, block: int, rows: slice) -> np.ndarray:
        """The integers a' = ±M * 2^(1 - D) of one K block, float32 (rows, 16)."""
        fmt = self.tensor.formats[block]
        exponents = np.broadcast_to(np.uint8(EXPONENT_BIAS + fmt.magnitude_bits), self.tensor.exponents.shape)
        return decode(self.tensor, exponents, block, block + 1)[rows, 0]

    def scale(self, block: int, rows: slice) -> np.ndarray:
        """What its integers count, 2^(E - 127 - m), as float64 (rows,)."""
        exponents = self.tensor.exponents[rows, block].astype(np.int64)
        return np.ldexp(1.0, exponents - EXPONENT_BIAS - self.tensor.formats[block].magnitude_bits)


def prepare(t: MXTensor) -> Operand:
    """Decode a tensor for `gemm`: a matrix, A if blocked along axis 1 and W if along axis 0, or a stack of them."""
    nan = t.exponents == EXPONENT_NAN
    neutral = nan | ~t.magnitudes.any(axis=-1)
    exponents = t.exponents.astype(np.int16)
    matrix = decode(t, t.exponents).reshape(t.rows, -1)
    return Operand(
        tensor=t,
        values=np.ascontiguousarray(matrix.T) if t.axis == 0 else matrix,
        low=np.where(neutral, np.int16(_NEUTRAL), exponents),
        high=np.where(neutral, np.int16(-_NEUTRAL), exponents),
        nan=nan.any(axis=1),
    )


def gemm(a: MXTensor | Operand, w: MXTensor | Operand, acc: str = "fp32", subnormals: str = "ftz") -> np.ndarray:
    """C = A @ W in stored block order, each output bit for bit that of the hardware.

    Parameters
    ----------
    a, w
        M x K blocked along axis 1, and K x N blocked along axis 0, of any formats; or what `prepare` makes of them. Or
        stacks of B products: B x M x K blocked along axis 2, and B x K x N along axis 1.
    acc
        Accumulator; ``fp32`` is the only one.
    subnormals
        Subnormal P and sums become +0 (``ftz``) or are kept (``ieee``).

    Returns
    -------
    numpy.ndarray
        float32 (M, N) or (B, M, N). NaN is always 0x7FC00000.

    Raises
    ------
    TypeError
        If a or w is neither kind of tensor, or an option is not a string.
    ValueError
        For an unknown option, operands that are neither both 2-D nor both 3-D or blocked along the wrong axis, or where
        they differ in the number of K blocks, in the K positions of a block, or in B.
    """
    check_choice("acc", acc, ACCUMULATIONS)
    check_choice("subnormals", subnormals, SUBNORMALS)
    ta, tw = _tensor("a", a), _tensor("w", w)
    count = check_stacks(ta, tw)

    a = a if isinstance(a, Operand) else prepare(a)
    w = w if isinstance(w, Operand) else prepare(w)
    m, n = ta.rows // count, tw.rows // count
    result = np.empty((count, m, n), np.float32)
    ftz = subnormals == "ftz"
    with np.errstate(over="ignore", invalid="ignore"):
        if count > 1 and m * n <= _PANEL_OUTPUTS:
            for part in _panels(count, _PANEL_OUTPUTS // (m * n)):
                rows, columns = (slice(part.start * size, part.stop * size) for size in (m, n))
                result[part] = _panel(a, w, rows, columns, ftz, part.stop - part.start)
        else:
            for i in range(count):
                for rows in _panels(m, _PANEL_ROWS, i * m):
                    for columns in _panels(n, _PANEL_COLUMNS, i * n):
                        part = np.s_[
                            i, rows.start - i * m : rows.stop - i * m, columns.start - i * n : columns.stop - i * n
                        ]
                        result[part] = _panel(a, w, rows, columns, ftz)[0]
    bits = result.view(np.uint32)
    bits[a.nan.reshape(count, m)] = CANONICAL_NAN
    bits.swapaxes(1, 2)[w.nan.reshape(count, n)] = CANONICAL_NAN
    bits[np.isnan(result)] = CANONICAL_NAN  # Inf - Inf has its sign set on some machines
    return result if len(ta.shape) == 3 else result[0]


def _tensor(name: str, operand: MXTensor | Operand) -> MXTensor:
    t = operand.tensor if isinstance(operand, Operand) else operand
    if not isinstance(t, MXTensor):
        raise TypeError(f"{name} must be an MXTensor, not {type(operand).__name__}")
    return t


def _panels(length: int, step: int, first: int = 0) -> list[slice]:
    return [slice(first + i, first + j) for i, j in pairwise([*range(0, length, step), length])]


def window(fa: Format, fw: Format) -> tuple[int, int]:
    """Least and greatest Ea + Eb for which float32 arithmetic within a block is exact."""
    return EXPONENT_BIAS + 1 + fa.magnitude_bits + fw.magnitude_bits, 376


def _panel(a: Operand, w: Operand, rows: slice, columns: slice, ftz: bool, count: int = 1) -> np.ndarray:
    """Outputs (count, M, N) of some rows and columns, without the NaNs of NaN blocks: of so many products of a stack.

    The exponents of all of them together decide how a block is computed.
    """
    low = a.low[rows].min(axis=0) + w.low[columns].min(axis=0)
    high = a.high[rows].max(axis=0) + w.high[columns].max(axis=0)
    limits = np.array([window(fa, fw) for fa, fw in zip(a.tensor.formats, w.tensor.formats, strict=True)])
    fast = (low >= limits[:, 0]) & (high <= limits[:, 1])

    values_a = _stack(a.values[rows], count)
    values_w = (
        w.values[np.newaxis, :, columns] if w.tensor.axis == 0 else _stack(w.values[columns], count).swapaxes(1, 2)
    )
    total = np.zeros((count, values_a.shape[1], values_w.shape[2]), np.float32)
    products = np.empty_like(total)
    flush = False
    for block in range(fast.size):
        if fast[block]:
            k = slice(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
            np.matmul(values_a[:, :, k], values_w[:, k], out=products)
        else:
            products[:] = _integer_products(a, w, block, rows, columns, ftz, count)
            flush = ftz
        np.add(total, products, out=total)
        if flush:
            np.multiply(total, np.abs(total) >= np.float32(_MIN_NORMAL), out=total)
    return total + np.float32(0)


def _stack(matrix: np.ndarray, count: int) -> np.ndarray:
    """Rows as so many matrices."""
    return matrix.reshape(count, -1, matrix.shape[-1])


def _integer_products(
    a: Operand, w: Operand, block: int, rows: slice, columns: slice, ftz: bool, count: int
) -> np.ndarray:
    """P of one K block as float64, to be rounded to float32 once; what is below 2^-126 becomes ±0 with `ftz`."""
    integers_w = _stack(w.integers(block, columns), count).swapaxes(1, 2)
    sums = np.matmul(_stack(a.integers(block, rows), count), integers_w).astype(np.float64)
    sums *= a.scale(block, rows).reshape(count, -1, 1)
    sums *= w.scale(block, columns).reshape(count, 1, -1)
    if ftz:
        np.multiply(sums, np.abs(sums) >= _MIN_NORMAL, out=sums)
    return sums
