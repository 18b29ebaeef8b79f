"""Runs what documents say."""

import re
from pathlib import Path
from typing import Any


def run_snippet(path: Path, **names: Any) -> dict[str, Any]:
    """Run the first Python snippet of a document; what it defines."""
    snippet = re.search(r"```python\n(.*?)```", path.read_text(), re.S)
    assert snippet is not None
    exec(compile(snippet[1], str(path), "exec"), names)
    return names
