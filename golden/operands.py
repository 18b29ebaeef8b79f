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
    for name, t, axis in (("a", a, 1), ("w", w, 0)):
        if len(t.shape) != 2 or t.axis != axis:
            raise ValueError(
                f"{name} must be 2-D and blocked along axis {axis}, not {len(t.shape)}-D along axis {t.axis}"
            )
    if a.blocks != w.blocks:
        raise ValueError(f"a and w must have the same number of K blocks, not {a.blocks} and {w.blocks}")
    if a.lengths != w.lengths:
        pairs = enumerate(zip(a.lengths, w.lengths, strict=True))
        block, (x, y) = next((k, pair) for k, pair in pairs if pair[0] != pair[1])
        raise ValueError(f"a and w must have the same number of K positions in block {block}, not {x} and {y}")
