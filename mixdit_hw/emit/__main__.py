"""``python -m mixdit_hw.emit --refresh`` regenerates the designs kept in ``rtl/`` and the page of registers."""

import argparse
import sys
from pathlib import Path

from ..errors import MixditError
from ..files import write_text
from ..presets import get_preset
from .files import generate
from .registers import PAGE, markdown_page

KEPT = {"tiny": ("accelerator", "core"), "small": ("core",)}  # what of which presets is in rtl/


def refresh(root: Path) -> list[Path]:
    """Write ``rtl/<preset>/`` below that folder for each kept preset, and `PAGE`; return the files' paths."""
    write_text(root / PAGE, markdown_page())
    paths = [root / PAGE]
    for preset, units in KEPT.items():
        for unit in units:
            paths += generate(get_preset(preset), root / "rtl" / preset, unit)
    return paths


def main() -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m mixdit_hw.emit", description=__doc__)
    parser.add_argument(
        "--refresh", action="store_true", required=True, help=f"write rtl/<preset>/ and {PAGE} below the root"
    )
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the project (default: the current one)")
    args = parser.parse_args()
    for folder in ("rtl", "docs"):
        if not (args.root / folder).is_dir():
            parser.error(f"{args.root}: has no folder {folder}")
    try:
        for path in refresh(args.root):
            print(path)
    except MixditError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
