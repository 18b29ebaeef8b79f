"""The JSON manifest beside the Verilog: what a program, or a person without this package, needs to know of a design."""

import json
from typing import Any

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIRS

from ..bus.axi import CACHE_NORMAL, ID_BITS, PROT_DATA
from ..bus.csr import ADDRESS_BITS
from ..bus.fetch import burst_beats
from ..bus.layouts import ITEM_BYTES
from ..bus.write import OPEN_BURSTS
from ..params import Params
from ..ports import HANDSHAKE, Port
from ..registers import REGISTER_BITS
from .contract import numerics_digest
from .registers import register_manifest
from .units import register_constants
from .verilog import Design, tool_versions

_CLOCKING = {"clock": "clk", "reset": "rst", "reset_is": "synchronous, active high"}
_ACCELERATOR_CLOCKING = {"clock": "aclk", "reset": "aresetn", "reset_is": "synchronous, active low"}


def manifest(design: Design, params: Params) -> str:
    """JSON text.

    ``parameters`` are those of `Params`; ``formats`` the supported formats with their codes; ``block`` the bits of
    a block on the ports; for the core alone, ``tile`` is the size of a tile and its beats, and ``array`` the
    clusters of engines, the chains of a column, the entries of the result lanes, all and of one tile, and cycles:
    the skew of the last row and column, and the latency from the decision for a tile's last pass to its first beat;
    for the accelerator alone, ``buses`` are its buses and ``host`` the `register_manifest`, with descriptors and codes;
    ``streams`` those of the top with their order of beats; ``ports`` those of the top, in order, with ``width`` in
    bits, ``stream`` (absent outside of streams), ``layout`` (least significant field first; u8 is unsigned of 8
    bits, s4 signed of 4), ``meaning`` and, for structs, ``fields``; ``modules`` the distinct units with the number
    of their instances and, where declared, their latency in cycles; ``numerics`` is `numerics_digest`.
    """
    is_accelerator = design.top.unit_name == "accelerator"
    content = {
        "name": design.name,
        "description": " ".join(design.top.description.split()),
        "tools": tool_versions(),
        "parameters": params.to_dict(),
        "formats": [{"name": f.name, "code": f.code, "magnitude_bits": f.magnitude_bits} for f in params.format_set],
        "block": _block(params),
        **({"tile": _tile(params), "array": _array(design, params)} if design.top.unit_name == "core" else {}),
        "numerics": {"sha256": numerics_digest()},
        "clocking": _ACCELERATOR_CLOCKING if is_accelerator else _CLOCKING,
        **({"buses": _buses(params), "host": register_manifest(register_constants(params))} if is_accelerator else {}),
        "handshake": HANDSHAKE,
        "streams": _streams(design),
        "ports": _ports(design),
        "modules": [_module(design, name) for name in design.units],
    }
    return json.dumps(content, indent=2) + "\n"


def _block(params: Params) -> dict[str, Any]:
    """Bits of a block in the design's container, and their value."""
    m = params.magnitude_bits
    head = EXPONENT_BITS + PAIRS
    return {
        "bits": head + BLOCK_SIZE * (m + 1),
        "exponent": {"lsb": 0, "bits": EXPONENT_BITS},
        "micro": {"lsb": EXPONENT_BITS, "bits": PAIRS},
        "elements": {"lsb": head, "count": BLOCK_SIZE, "bits": m + 1, "magnitude_bits": m, "sign_bit": m},
        "value": f"of element i: (-1)^sign * magnitude * 2^(exponent - 127 - micro[i/2] - {m - 1}), "
        f"NaN where exponent is {(1 << EXPONENT_BITS) - 1}; magnitudes of narrower formats stand at the top",
    }


def _tile(params: Params) -> dict[str, int]:
    """Size of a tile, and its beats on the core's streams."""
    return {
        "rows": params.tile_rows,
        "columns": params.columns,
        "a_beats_per_k_block": params.interleave,
        "a_blocks_per_beat": params.rows,
        "w_beats_per_k_block": 1,
        "w_blocks_per_beat": params.columns,
        "result_beats": params.tile_beats,
        "words_per_result_beat": params.drain * params.columns,
    }


def _array(design: Design, params: Params) -> dict[str, int | None]:
    """Clusters, result chains and times of the core's array."""
    return {
        "cluster_rows": params.cluster_rows,
        "cluster_columns": params.cluster_columns,
        "chains": params.chains,
        "lane_depth": params.lane_depth,
        "lane_entries_per_tile": params.lane_tile,
        "row_skew": params.row_skew,
        "column_skew": params.column_skew,
        "latency": design.top.latency,
    }


def _buses(params: Params) -> dict[str, dict[str, Any]]:
    """Buses of the accelerator, by the beginning of their ports' names."""
    return {
        "m_axi": {
            "protocol": "AXI4",
            "role": "master",
            "data_bits": params.axi_width,
            "address_bits": params.address_bits,
            "id_bits": ID_BITS,
            "burst": "INCR, of full width, within 4 KiB",
            "read_burst_beats": burst_beats(params),
            "read_bursts_under_way": params.read_depth,
            "write_burst_beats": ITEM_BYTES * 8 // params.axi_width + 1,
            "write_bursts_under_way": OPEN_BURSTS,
            "cache": CACHE_NORMAL,
            "prot": PROT_DATA,
        },
        "s_axil": {"protocol": "AXI4-Lite", "role": "slave", "data_bits": REGISTER_BITS, "address_bits": ADDRESS_BITS},
        "irq": {"protocol": "interrupt", "role": "source", "sensitivity": "level, high"},
    }


def _streams(design: Design) -> list[dict[str, str]]:
    top = design.top
    payload = {port.stream: port for port in top.ports if port.stream and port.path[-1] == "payload"}
    return [
        {
            "name": name,
            "direction": "output" if port.output else "input",
            "meaning": top.meanings.get(str(port.path[0]), ""),
        }
        for name, port in payload.items()
    ]


def _ports(design: Design) -> list[dict[str, Any]]:
    meanings = {"clk": "Clock; everything happens at its rising edge.", "rst": "Reset, synchronous, active high."}
    clocking: list[dict[str, Any]] = [
        {"name": name, "direction": "input", "width": 1, "layout": "u1", "meaning": meanings[name]}
        for name in design.top.clocking
    ]
    return clocking + [_port(port) for port in design.top.ports]


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "direction": "output" if port.output else "input",
        "width": port.width,
        **({"stream": port.stream} if port.stream else {}),
        "layout": port.layout,
        "meaning": port.meaning,
        **({"fields": port.fields} if port.fields else {}),
    }


def _module(design: Design, name: str) -> dict[str, Any]:
    unit = design.units[name]
    return {
        "name": name,
        "summary": unit.summary,
        "instances": design.instances[name],
        **({} if unit.latency is None else {"latency": unit.latency}),
    }
