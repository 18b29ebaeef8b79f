"""The few things about RTLIL text that emission must know."""

import re


def split_modules(text: str) -> list[list[str]]:
    """Lines of each module, from ``module`` on, without indents, blank lines and the modules' attributes."""
    modules = []
    for text_of_one in re.split(r"^module ", text, flags=re.MULTILINE)[1:]:
        lines = ["module " + text_of_one.partition("\n")[0]]
        lines += filter(None, map(str.strip, text_of_one.splitlines()[1:]))
        while lines[-1] != "end":
            lines.pop()  # attributes of the next module
        modules.append(lines)
    return modules


def module_name(lines: list[str]) -> str:
    """Name of a module, without the backslash."""
    return lines[0].removeprefix("module \\")


def drop_unused_clocking(text: str) -> tuple[str, tuple[str, ...]]:
    """Drop the ports ``clk`` and ``rst`` of those modules that do not use them, and those of the top if unused.

    Amaranth gives both to every module with a register, though registers need not have a reset. The text is that of one
    top, its first module, and its submodules, each after its parent. Returned are the text and the ports that are left
    to the top.
    """
    used_by: dict[str, tuple[str, ...]] = {}
    modules = split_modules(text)
    for lines in reversed(modules):
        kept = []
        cell = ""
        for line in lines:
            if line.startswith("cell "):
                cell = line.split(" ")[1].removeprefix("\\")
            elif line == "end":
                cell = ""
            port = re.match(r"connect \\(clk|rst) ", line)
            if not (port and cell in used_by and port[1] not in used_by[cell]):
                kept.append(line)
        body = "\n".join(line for line in kept if not line.startswith("wire "))
        inputs = {m[1] for line in kept if (m := _CLOCKING_WIRE.match(line))}
        used = tuple(port for port in ("clk", "rst") if port in inputs and re.search(rf"\\{port}(?=\s)", body))
        used_by[module_name(lines)] = used
        lines[:] = [line for line in kept if not (m := _CLOCKING_WIRE.match(line)) or m[1] in used]
    return "".join(f"{line}\n" for lines in modules for line in lines), used_by[module_name(modules[0])]


_CLOCKING_WIRE = re.compile(r"wire .*input .*\\(clk|rst)\Z")
