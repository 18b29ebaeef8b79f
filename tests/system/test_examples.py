"""The scripts and the text of examples/ do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    """Run Python from the project's root; the standard output."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout


def test_sample_digits(tmp_path):
    """Two columns of four rows of 10x10 pixels, 12 screen pixels each; the wider the format, the nearer to float32."""
    output = tmp_path / "new" / "digits.png"
    text = run("examples/sample_digits.py", "--images", "2", "--steps", "3", "-o", str(output))
    rows = re.findall(r"^(\S+) +[\d.]+ s   SQNR against float32 +([\d.]+|inf) dB$", text, re.MULTILINE)
    assert [name for name, _ in rows] == ["float32", "mx9", "mixed", "mx6"]
    assert float(rows[0][1]) > float(rows[1][1]) > max(float(rows[2][1]), float(rows[3][1]))
    assert matplotlib.image.imread(output).shape == (480, 240, 4)
    assert list(output.parent.iterdir()) == [output]


def test_readme_example():
    (code,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "examples" / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert run("-c", code + "print(images.shape, a.shape, w.shape)") == "(3, 1, 8, 8) (128, 144) (144, 576)\n"
