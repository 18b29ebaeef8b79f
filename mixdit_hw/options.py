"""Options that several commands share, and the kinds of values that they take."""

import contextlib
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from golden.formats import FORMATS

from .errors import InputError
from .params import ROUNDINGS, Params
from .presets import PRESETS

DEFAULT_PRESET = "small"
_CONFIG_BYTES = 1 << 20

FORMAT = click.Choice(list(FORMATS))
INPUT = click.Path(path_type=Path)
OUTPUT = click.Path(path_type=Path)

rounding_option = click.option(
    "--rounding", type=click.Choice(ROUNDINGS), default="nearest-even", show_default=True, help="Rounding to MX."
)
subnormals_option = click.option(
    "--subnormals",
    type=click.Choice(("flush", "exact")),
    default="flush",
    show_default=True,
    help="FP32 subnormals become zero or count exactly.",
)


class Amount(click.ParamType):
    """A number of channels, or a percentage of them: ``16`` or ``1.5%``."""

    name = "N|P%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return an int or a string that ends in %."""
        match = re.fullmatch(r"(?a:(\d{1,9})|(\d{1,3}(\.\d{1,9})?)%)", value)
        if match is None or (match[2] and float(match[2]) > 100):
            self.fail(f"must be a number of channels or a percentage such as 1.5%, not {value!r}", param, ctx)
        return int(value) if match[1] else value


def design_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --preset, --config and --set; the command gets the design as ``params`` and its name as ``design_name``."""

    @click.option("--preset", type=click.Choice(list(PRESETS)), help=f"Design by name.  [default: {DEFAULT_PRESET}]")
    @click.option("--config", type=INPUT, metavar="FILE", help="Design from a TOML (or .json) file.")
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the design.")
    @functools.wraps(command)
    def wrapper(preset: str | None, config: Path | None, settings: tuple[str, ...], **kwargs: Any) -> Any:
        if preset is not None and config is not None:
            raise click.UsageError("--preset and --config exclude each other")
        params = PRESETS[preset or DEFAULT_PRESET] if config is None else read_config(config)
        name = f"preset {preset or DEFAULT_PRESET}" if config is None else str(config)
        for setting in settings:
            params = apply_setting(params, setting)
            name += f" with {setting}"
        return command(params=params, design_name=name, **kwargs)

    return wrapper


def read_config(path: Path) -> Params:
    """The design of a configuration file, JSON where its name ends in .json and TOML otherwise.

    Raises
    ------
    InputError
        It cannot be read or does not describe a design.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_CONFIG_BYTES + 1)
        if len(data) > _CONFIG_BYTES:
            raise ValueError(f"must have at most {_CONFIG_BYTES} bytes")
        text = data.decode()
        return Params.from_json(text) if path.suffix == ".json" else Params.from_toml(text)
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror or e}") from None
    except RecursionError:
        raise InputError(f"{path}: must not nest so deeply") from None
    except (ValueError, TypeError) as e:
        raise InputError(f"{path}: {e}") from None


def apply_setting(params: Params, setting: str) -> Params:
    """The design with one parameter changed by ``key=value``; lists are written with commas.

    Raises
    ------
    InputError
        The text is malformed, or the parameters do not fit.
    """
    key, equals, text = setting.partition("=")
    if not equals:
        raise InputError(f"--set must be key=value, not {setting!r}")
    value: Any = text
    if key == "formats":
        value = text.split(",")
    else:
        with contextlib.suppress(ValueError):
            value = int(text)
    try:
        return Params.from_dict({**params.to_dict(), key: value})
    except (ValueError, TypeError) as e:
        raise InputError(f"--set {setting}: {e}") from None
