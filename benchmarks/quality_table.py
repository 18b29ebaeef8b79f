"""Put a result of ``mixdit quality`` into docs/quality.md: its table, its figures and a picture.

    python benchmarks/quality_table.py build/quality/quality.json

Writes docs/quality.json, docs/quality.png and the table between the marks of docs/quality.md.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mixdit_hw.files import atomic_write, write_text
from mixdit_hw.report.plots import write_png
from mixdit_hw.report.quality import quality_markdown
from mixdit_hw.report.quality_page import draw_costs
from mixdit_hw.report.table import replace_between

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- quality: written by benchmarks/quality_table.py -->\n", "<!-- end of quality -->\n"


def replace_table(text: str, table: str) -> str:
    """A document with the table between its marks; ValueError where it has no marks."""
    return replace_between(text, BEGIN, END, table)


def table_of(content: dict[str, Any]) -> str:
    """The table with the command that made it."""
    return f"`{content['command']}`\n\n{quality_markdown(content)}"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("result", type=Path, help="quality.json of a run")
    arguments = parser.parse_args()
    content = json.loads(arguments.result.read_text(encoding="utf-8"))
    write_text(DOCS / "quality.json", json.dumps(content, indent=1) + "\n")
    with atomic_write(DOCS / "quality.png") as file:
        write_png(draw_costs(content), file)
    document = DOCS / "quality.md"
    write_text(document, replace_table(document.read_text(encoding="utf-8"), table_of(content)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
