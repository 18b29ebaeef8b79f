"""Standard output and error that may fail without stopping a command's work."""

import errno
import io
import os
from typing import TextIO

from .errors import OutputError


class StandardStream(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``, which may be closed, or full, or a pipe that nobody reads.

    What cannot be written is lost; the first failure is kept for `check`.

    Parameters
    ----------
    stream
        Where to write; None for a stream that was closed before this program began.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._error = OSError(errno.EBADF, os.strerror(errno.EBADF)) if stream is None else None

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] (the base has an attribute)
        """Of the stream; what it lacks is written as escapes."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str, /) -> int:
        """Write text, all or, after a failure, none of it; returns its length."""
        data = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        if self._stream is not None and self._error is None:
            try:
                self._stream.write(data)
            except OSError as e:
                self._error = e
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        if self._stream is not None and self._error is None:
            try:
                self._stream.flush()
            except OSError as e:
                self._error = e

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def check(self, name: str) -> None:
        """Write what is held back; OutputError, naming the stream so, if anything was lost."""
        self.flush()
        if self._error is not None:
            raise OutputError(f"{name}: cannot be written: {self._error.strerror or self._error}")
