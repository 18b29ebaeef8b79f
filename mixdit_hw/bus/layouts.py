"""Payload shapes of the streams between the bus and the units that read and write memory."""

from amaranth.lib import data

from ..params import Params

ITEM_BYTES = 64  # of an item or a piece: 16 FP32 words
RUN_BITS = 19  # of a run's bytes: 65535 FP32 words
SIZE_BITS = 16  # of M, N and K


class RunLayout(data.StructLayout):
    """Bytes of memory to read one after the other.

    Fields
    ------
    address
        Byte address of the first one, even.
    bytes : 19
        How many, an even number.
    item : 7
        Bytes that are handed on at a time: an even number from 2 to 64.
    """

    def __init__(self, params: Params) -> None:
        super().__init__({"address": params.address_bits, "bytes": RUN_BITS, "item": 7})


class ItemLayout(data.StructLayout):
    """Bytes of a run.

    Fields
    ------
    data : 512
        The first byte in the lowest bits; zero behind the item's last byte, and behind the run's.
    last : 1
        This is the run's last item.
    """

    def __init__(self) -> None:
        super().__init__({"data": 8 * ITEM_BYTES, "last": 1})


class BurstLayout(data.StructLayout):
    """A read burst that stays within 4 KiB.

    Fields
    ------
    address
        Byte address, a multiple of the bus's bytes.
    beats : 8
        Its beats, less one.
    """

    def __init__(self, params: Params) -> None:
        super().__init__({"address": params.address_bits, "beats": 8})


class PieceLayout(data.StructLayout):
    """Bytes to write.

    Fields
    ------
    address
        Byte address of the first one, even.
    bytes : 7
        How many, an even number from 2 to 64.
    data : 512
        The first byte in the lowest bits; what is behind the last is not written.
    """

    def __init__(self, params: Params) -> None:
        super().__init__({"address": params.address_bits, "bytes": 7, "data": 8 * ITEM_BYTES})


class JobLayout(data.StructLayout):
    """A checked job: constant while it runs.

    Fields
    ------
    m, n, k : 16
        Sizes, at least 1.
    a_type, w_type, c_type : 2
        0 = FP32, 1 = BF16, 2 = MX.
    w_columns : 1
        W is stored column by column; always set where it is MX.
    ends : 4 x 16
        K blocks up to the end of each segment; ends[3] is their total. Segments that do not exist end where the last
        one does.
    a_formats, w_formats : 4 x 2
        Of each segment.
    outliers : 1
        The mask says which channels of A are outliers; the blocks from ceil(k/16) on are theirs.
    c_formats : 2 x 2
        MX results: before c_split and from there on.
    c_split : 16
        MX results: first column of the second format, at most n.
    c_head : 16
        MX results: blocks of the first format start again every so many columns; 0: only where the formats change. It
        may be above n.
    a_address, w_address, c_address
        First bytes.
    a_stride, w_stride, c_stride : 32
        Bytes from row to row.
    scale_mode, bias_mode : 2
        0 = none, 1 = one for all, 2 = one for each column.
    scale, bias : 64
        FP32 word, or the address of the first column's.
    rounding : 2
        Of the converters, where the design chooses at run time.
    chunked : 1
        The K blocks do not fit a slot of the buffers, or the outliers not into the outlier split: they come in chunks.
    short_chunks : 1
        The outliers do not fit: chunks are of min(k_depth, outlier_depth) blocks, and of k_depth else.
    group : 3
        Panels of A that stay on chip together and share each tile of W.
    """

    def __init__(self, params: Params) -> None:
        size, address = SIZE_BITS, params.address_bits
        four = data.ArrayLayout(2, 4)
        super().__init__(
            {name: size for name in ("m", "n", "k")}
            | {name: 2 for name in ("a_type", "w_type", "c_type")}
            | {"w_columns": 1, "ends": data.ArrayLayout(size, 4), "a_formats": four, "w_formats": four}
            | {"outliers": 1, "c_formats": data.ArrayLayout(2, 2), "c_split": size, "c_head": size}
            | {name: address for name in ("a_address", "w_address", "c_address")}
            | {name: 32 for name in ("a_stride", "w_stride", "c_stride")}
            | {"scale_mode": 2, "bias_mode": 2, "scale": 64, "bias": 64}
            | {"rounding": 2, "chunked": 1, "short_chunks": 1, "group": 3}
        )


class TileLayout(data.StructLayout):
    """A tile of the result.

    Fields
    ------
    rows : 16
        Rows of it that exist, 1 to R*T.
    columns : 8
        Columns of it that exist, 1 to C.
    panel : 2
        Which panel of the group it belongs to.
    first : 1
        It has the first columns.
    last : 1
        It has the last columns.
    turn : 1
        It is the last of its group with these columns: the next tile has others, or is of the next group.
    final : 1
        It is the job's last tile.
    """

    def __init__(self) -> None:
        flags = {name: 1 for name in ("first", "last", "turn", "final")}
        super().__init__({"rows": SIZE_BITS, "columns": 8, "panel": 2} | flags)
