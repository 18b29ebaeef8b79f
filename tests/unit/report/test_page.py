"""Pages: everything that is not a drawing is escaped, and a missing field is an error, not a gap."""

import jinja2
import pytest

from mixdit_hw.report import page


@pytest.fixture
def template(monkeypatch):
    environment = page._ENVIRONMENT.overlay(loader=jinja2.DictLoader({"t": "<p>{{ text }}</p>{{ drawing }}"}))
    monkeypatch.setattr(page, "_ENVIRONMENT", environment)
    return "t"


def test_escapes(template, tmp_path):
    page.write_page(tmp_path / "x.html", template, text="<script>&", drawing=page.markup("<svg></svg>"))
    assert (tmp_path / "x.html").read_text() == "<p>&lt;script&gt;&amp;</p><svg></svg>"


def test_missing_field(template, tmp_path):
    with pytest.raises(jinja2.UndefinedError, match=r"^'drawing' is undefined$"):
        page.write_page(tmp_path / "x.html", template, text="")
    assert list(tmp_path.iterdir()) == []
