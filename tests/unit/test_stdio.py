"""Standard streams that fail without stopping the work; tests/unit/test_cli.py has real ones."""

import errno
import io
import os

import pytest

from mixdit_hw.errors import OutputError
from mixdit_hw.stdio import StandardStream
from tests.support.errors import raises_exactly


class Full(io.StringIO):
    """Takes one text, and then no more."""

    def write(self, text: str, /) -> int:
        if self.getvalue():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_writes_through() -> None:
    inner = io.StringIO()
    stream = StandardStream(inner)
    assert stream.write("a\u00e9") == 2
    assert not stream.isatty()
    stream.check("it")
    assert inner.getvalue() == "a\u00e9"


def test_first_failure_is_kept() -> None:
    inner = Full()
    stream = StandardStream(inner)
    for text in ("one", "two", "three"):
        assert stream.write(text) == len(text)
    stream.flush()
    assert inner.getvalue() == "one"
    with raises_exactly(OutputError, "it: cannot be written: No space left on device"):
        stream.check("it")


def test_failing_flush_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = io.StringIO()

    def fail() -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(inner, "flush", fail)
    stream = StandardStream(inner)
    stream.write("text")
    with raises_exactly(OutputError, "it: cannot be written: Broken pipe"):
        stream.check("it")


def test_closed_from_the_start() -> None:
    stream = StandardStream(None)
    assert (stream.write("text"), stream.encoding, stream.isatty()) == (4, "utf-8", False)
    with raises_exactly(OutputError, "it: cannot be written: Bad file descriptor"):
        stream.check("it")


def test_escapes_for_what_the_stream_lacks() -> None:
    data = io.BytesIO()
    stream = StandardStream(io.TextIOWrapper(data, encoding="ascii"))
    stream.write("\u00e9\udcff")
    stream.check("it")
    assert data.getvalue() == b"\\xe9\\udcff"
