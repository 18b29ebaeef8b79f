"""Progress is shown on terminals only."""

import io

import pytest

from mixdit_hw import progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_nothing_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("beats") as tell_bar, progress.line() as tell_line:
        assert (tell_bar, tell_line) == (None, None)
    assert capsys.readouterr() == ("", "")


def test_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with progress.bar("beats") as tell:
        assert tell is not None
        tell(3, 7)
    assert "beats" in terminal.getvalue()
    assert "3/7" in terminal.getvalue()


def test_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with progress.line() as tell:
        assert tell is not None
        tell("mapping")
    assert "mapping" in terminal.getvalue()
