"""The JSON manifest beside the Verilog: what a program needs to know of a design."""

import json
from typing import Any

from ..params import Params
from .contract import numerics_digest
from .verilog import Design, tool_versions

_HANDSHAKE = {
    "valid": "The stream's source has a beat; it stays until it is taken.",
    "ready": "The stream's sink takes the beat at the next rising edge, if there is one.",
}


def manifest(design: Design, params: Params) -> str:
    """JSON text.

    ``parameters`` are those of `Params`; ``ports`` those of the top, in order, with ``width`` in bits, ``stream``
    (absent outside of streams), ``layout`` (least significant field first; u8 is unsigned of 8 bits, s4 signed of
    4) and ``meaning``; ``modules`` the distinct units with the number of their instances and, where declared, their
    latency in cycles; ``numerics`` is `numerics_digest`.
    """
    content = {
        "name": design.name,
        "tools": tool_versions(),
        "parameters": params.to_dict(),
        "numerics": {"sha256": numerics_digest()},
        "clocking": {"clock": "clk", "reset": "rst", "reset_is": "synchronous, active high"},
        "ports": _ports(design),
        "modules": [_module(design, name) for name in design.units],
    }
    return json.dumps(content, indent=2) + "\n"


def _ports(design: Design) -> list[dict[str, Any]]:
    meanings = {"clk": "Clock; everything happens at its rising edge.", "rst": "Reset, synchronous, active high."}
    ports: list[dict[str, Any]] = [
        {"name": name, "direction": "input", "width": 1, "layout": "u1", "meaning": meanings[name]}
        for name in design.top.clocking
    ]
    for port in design.top.ports:
        ports.append(
            {
                "name": port.name,
                "direction": "output" if port.output else "input",
                "width": port.width,
                **({"stream": port.stream} if port.stream else {}),
                "layout": port.layout,
                "meaning": _HANDSHAKE.get(str(port.path[-1]) if port.stream else "")
                or design.top.meanings.get(str(port.path[0]), ""),
            }
        )
    return ports


def _module(design: Design, name: str) -> dict[str, Any]:
    unit = design.units[name]
    return {
        "name": name,
        "summary": unit.summary,
        "instances": design.instances[name],
        **({} if unit.latency is None else {"latency": unit.latency}),
    }
