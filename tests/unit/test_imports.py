"""The layers of the project, read from the import statements of every file.

- `golden` imports NumPy and the standard library.
- Parameters, latencies, mixes, workloads and the performance model import `golden.formats`, each other and the table of
  the engine's latencies, neither hardware, Amaranth nor golden arithmetic.
- Hardware imports Amaranth, `golden.formats` and hardware of its own folder or of those below it.
- `mixdit_hw.torch` imports PyTorch and `golden`; nothing else of the package imports it, and PyTorch only what reads
  its files, when it does.
- Nothing imports `tests` or `fpga`, but they themselves.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("golden", "mixdit_hw", "benchmarks", "examples", "scripts", "docs", "fpga", "tests")

PLAIN = {
    f"mixdit_hw.{name}" for name in ("params", "presets", "job", "registers", "latency", "mixes", "workloads", "perf")
}
DATA = "mixdit_hw.dot.timing"  # latencies of the engine, as plain as those of `mixdit_hw.latency`
# Hardware and what it is written with, lowest first; a file may import from its own folder and from lower lines.
LAYERS = (
    ("params", "job", "keywords", "rtlil"),
    ("latency", "registers", "shapes", "stream", "ports"),
    ("unit",),
    ("arith", "bus"),
    ("codec", "dot"),
    ("vector",),
    ("array",),
    ("tile",),
    ("top",),
    ("accelerator",),
)
LEVELS = {f"mixdit_hw.{name}": level for level, names in enumerate(LAYERS) for name in names}
# These speak of components too, but stand above.
ABOVE = {"mixdit_hw.emit", "mixdit_hw.sim"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of all modules that a file imports anywhere, ``from a import b`` as ``a.b``."""
    package = list(path.relative_to(ROOT).parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += node.module.split(".") if node.module else []
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return frozenset(names)


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def inside(name: str, module: str) -> bool:
    """Whether a name is that module or something in it."""
    return name == module or name.startswith(f"{module}.")


def unit_of(name: str) -> str:
    """The part of `mixdit_hw` a name belongs to, as ``mixdit_hw.arith``."""
    return ".".join(name.split(".")[:2])


def offences(paths: list[Path], allowed) -> list[str]:
    """Imports for which ``allowed(module, name)`` does not hold."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in sorted(imports(path))
        if not allowed(module_name(path), name)
    ]


def is_standard(name: str) -> bool:
    return name.split(".")[0] in sys.stdlib_module_names


def test_the_reader():
    """It sees relative and absolute imports, inside of functions too."""
    names = imports(ROOT / "mixdit_hw" / "dot" / "engine.py")
    assert {"amaranth.hdl.Module", "golden.formats.PAIRS", "mixdit_hw.arith.register.register"} <= names
    assert "mixdit_hw.dot.block_sum.BlockSum" in names
    assert "mixdit_hw.params.Params" in imports(ROOT / "mixdit_hw" / "presets.py")
    assert "ast" in imports(Path(__file__))


def test_components_are_in_the_layers():
    """A new folder of hardware must be put into `LAYERS`."""
    units = {
        unit_of(module_name(path))
        for path in files("mixdit_hw")
        if any(inside(name, "amaranth.lib.wiring") for name in imports(path))
    }
    assert units - ABOVE <= set(LEVELS)
    assert {"mixdit_hw.arith", "mixdit_hw.top"} <= units


def test_golden():
    def allowed(_: str, name: str) -> bool:
        return is_standard(name) or inside(name, "numpy") or inside(name, "golden")

    assert offences(files("golden"), allowed) == []


def test_parameters():
    paths = [path for path in files("mixdit_hw") if unit_of(module_name(path)) in PLAIN]
    assert {unit_of(module_name(path)) for path in paths} == PLAIN
    assert {"mixdit_hw.perf.core", "mixdit_hw.perf.model"} <= {module_name(path) for path in paths}

    def allowed(_: str, name: str) -> bool:
        return is_standard(name) or inside(name, "golden.formats") or unit_of(name) in PLAIN or inside(name, DATA)

    assert offences(paths, allowed) == []
    engine = ROOT / "mixdit_hw" / "dot"
    assert offences([engine / "timing.py", engine / "__init__.py"], lambda _, name: is_standard(name)) == []


def test_hardware():
    paths = [path for path in files("mixdit_hw") if unit_of(module_name(path)) in LEVELS]
    assert {module_name(path) for path in paths} >= {"mixdit_hw.top", "mixdit_hw.arith.lzc", "mixdit_hw.tile.queue"}

    def allowed(module: str, name: str) -> bool:
        if is_standard(name) or inside(name, "amaranth") or inside(name, "golden.formats"):
            return True
        own, other = unit_of(module), unit_of(name)
        return own == other or LEVELS.get(other, len(LAYERS)) < LEVELS[own]

    assert offences(paths, allowed) == []


def test_torch():
    own = [path for path in files("mixdit_hw") if unit_of(module_name(path)) == "mixdit_hw.torch"]
    others = [path for path in files("golden", "mixdit_hw", "scripts", "fpga") if path not in own]
    assert own

    def allowed(_: str, name: str) -> bool:
        return is_standard(name) or any(inside(name, m) for m in ("numpy", "torch", "golden", "mixdit_hw.torch"))

    assert offences(own, allowed) == []
    reader = "mixdit_hw.checkpoint.torch_file"

    def allowed_elsewhere(module: str, name: str) -> bool:
        return not inside(name, "mixdit_hw.torch") and (not inside(name, "torch") or module == reader)

    assert offences(others, allowed_elsewhere) == []


@pytest.mark.parametrize("folder", ["tests", "fpga"])
def test_nothing_imports(folder):
    others = [path for path in files(*FOLDERS) if path.relative_to(ROOT).parts[0] != folder]
    assert offences(others, lambda _, name: not inside(name, folder)) == []
