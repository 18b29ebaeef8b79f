"""The memory beside a simulated accelerator: bytes from some address on."""


class Memory:
    """A stretch of an address space; there is nothing outside of it.

    Parameters
    ----------
    data
        Its bytes, of which it keeps a copy.
    base
        Address of the first.

    Raises
    ------
    ValueError
        ``base`` is negative.
    """

    def __init__(self, data: bytes | bytearray, base: int = 0) -> None:
        if base < 0:
            raise ValueError(f"base must be at least 0, not {base}")
        self.base = base
        self.data = bytearray(data)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def last(self) -> int:
        """Address of the last byte."""
        return self.base + len(self.data) - 1

    def read_memory(self, address: int, count: int) -> bytes:
        """``count`` bytes; IndexError where one of them is outside."""
        first = self._offset(address, count)
        return bytes(self.data[first : first + count])

    def write_memory(self, address: int, data: bytes) -> None:
        """Write bytes; IndexError, and nothing is written, where one of them is outside."""
        first = self._offset(address, len(data))
        self.data[first : first + len(data)] = data

    def copy(self) -> "Memory":
        """A memory of its own with the same bytes."""
        return Memory(self.data, self.base)

    def _offset(self, address: int, count: int) -> int:
        first = address - self.base
        if first < 0 or first + count > len(self.data):
            raise IndexError(f"there is no memory at {address:#x} to {address + count:#x}")
        return first
