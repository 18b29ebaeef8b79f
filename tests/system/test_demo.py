"""``mixdit demo`` as a whole, with few steps on the least design."""

import json
import re

from mixdit_hw.cli import run
from tests.support.simulation import BUILD_DIR, need_engine


def test_demo(tmp_path, capfd):
    need_engine("verilator")
    output = tmp_path / "demo"
    assert run(["demo", "--preset", "tiny", "--steps", "2", "-o", str(output), "--build-dir", str(BUILD_DIR)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.count("elements equal to golden") == 9
    results = json.loads((output / "results.json").read_text())
    assert len(results["rows"]) == 9
    for row in results["rows"]:
        assert row["equal"] == row["elements"] == row["m"] * row["n"]
        assert row["cycles"] > 0
    page = (output / "report.html").read_text()
    elements = sum(row["elements"] for row in results["rows"])
    assert f"{elements:,} of {elements:,} output elements" in page
    assert page.count("<svg") == 4
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?https?:", page)
    assert (output / "design" / "mixdit_core.v").is_file()
