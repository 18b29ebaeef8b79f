"""What makes two MX tensors an A and a W: the check that the golden product and the hardware's images share."""

from .tensor import MXTensor


def check_operands(a: MXTensor, w: MXTensor) -> None:
    """Check that A (M, K) times W (K, N) is defined.

    Blocks are multiplied in stored order, so that each must hold as many K positions of A as of W. How they are cut
    into segments does not matter: one of 32 positions fits two of 16.

    Raises
    ------
    ValueError
        For an operand that is not 2-D or blocked along the wrong axis, or where the operands differ in the number of K
        blocks or in the K positions of a block.
    """
    _check_axes(a, w, 2)
    _check_blocks(a, w)


def check_stacks(a: MXTensor, w: MXTensor) -> int:
    """Check as `check_operands` does, or that A (B, M, K) times W (B, K, N) are B such products; returns B, or 1."""
    dimensions = 3 if len(a.shape) == len(w.shape) == 3 else 2
    _check_axes(a, w, dimensions)
    _check_blocks(a, w)
    if dimensions == 2:
        return 1
    if a.shape[0] != w.shape[0]:
        raise ValueError(f"a and w must be stacks of the same length, not {a.shape[0]} and {w.shape[0]}")
    return a.shape[0]


def _check_axes(a: MXTensor, w: MXTensor, dimensions: int) -> None:
    for name, t, axis in (("a", a, dimensions - 1), ("w", w, dimensions - 2)):
        if len(t.shape) != dimensions or t.axis != axis:
            raise ValueError(
                f"{name} must be {dimensions}-D and blocked along axis {axis}, not {len(t.shape)}-D along axis {t.axis}"
            )


def _check_blocks(a: MXTensor, w: MXTensor) -> None:
    if a.blocks != w.blocks:
        raise ValueError(f"a and w must have the same number of K blocks, not {a.blocks} and {w.blocks}")
    if a.lengths != w.lengths:
        pairs = enumerate(zip(a.lengths, w.lengths, strict=True))
        block, (x, y) = next((k, pair) for k, pair in pairs if pair[0] != pair[1])
        raise ValueError(f"a and w must have the same number of K positions in block {block}, not {x} and {y}")
