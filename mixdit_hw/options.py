"""Options that several commands share, and the kinds of values that they take."""

import functools
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from golden.formats import FORMATS

from .errors import InputError
from .files import read_text
from .params import ROUNDINGS, Params
from .presets import PRESETS

DEFAULT_PRESET = "small"
_CONFIG_BYTES = 1 << 20
_INTEGER = re.compile(r"-?[0-9]+")  # less than int() takes: no other digits, no spaces, no underscores

FORMAT = click.Choice(list(FORMATS))
INPUT = click.Path(path_type=Path)
OUTPUT = click.Path(path_type=Path)

_CONVERSION = {
    "rounding": (ROUNDINGS, "nearest-even", "Rounding to MX."),
    "subnormals": (("flush", "exact"), "flush", "FP32 subnormals become zero or count exactly."),
    "nonfinite": (
        ("nan", "saturate"),
        "nan",
        "A block with NaN or Inf is NaN, or Inf becomes the largest number and NaN zero.",
    ),
}


class Amount(click.ParamType):
    """A number of channels, or a percentage of them: ``16`` or ``1.5%``."""

    name = "N|P%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return an int or a string that ends in %."""
        match = re.fullmatch(r"(?a:(\d{1,9})|(\d{1,3}(\.\d{1,9})?)%)", value)
        if match is None or (match[2] and float(match[2]) > 100):
            self.fail(f"must be a number of channels or a percentage such as 1.5%, not {value!r}", param, ctx)
        return int(value) if match[1] else value


def conversion_options(*, of_design: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --rounding, --subnormals and --nonfinite; the command gets them as the dict ``conversion``.

    With ``of_design``, which needs `design_options` outside of it, what is not given is as the design's converter has
    it; one that is told its rounding at run time is told nearest-even.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapper(**kwargs: Any) -> Any:
            conversion = {}
            for name, (choices, default, _) in _CONVERSION.items():
                designed = getattr(kwargs["params"], name) if of_design else default
                conversion[name] = kwargs.pop(name) or (designed if designed in choices else default)
            return command(conversion=conversion, **kwargs)

        for name, (choices, default, text) in reversed(_CONVERSION.items()):
            shown = f"{text}  [default: {'as the design has it' if of_design else default}]"
            wrapper = click.option(f"--{name}", type=click.Choice(choices), help=shown)(wrapper)
        return wrapper

    return decorate


def design_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --preset, --config and --set; the command gets the design as ``params`` and its name as ``design_name``."""

    @click.option("--preset", type=click.Choice(list(PRESETS)), help=f"Design by name.  [default: {DEFAULT_PRESET}]")
    @click.option("--config", type=INPUT, metavar="FILE", help="Design from a TOML (or .json) file.")
    @click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change a parameter of the design; may be repeated. Lists with commas.",
    )
    @functools.wraps(command)
    def wrapper(preset: str | None, config: Path | None, settings: tuple[str, ...], **kwargs: Any) -> Any:
        if preset is not None and config is not None:
            raise click.UsageError("--preset and --config exclude each other")
        params = PRESETS[preset or DEFAULT_PRESET] if config is None else read_config(config)
        name = f"preset {preset or DEFAULT_PRESET}" if config is None else str(config)
        name = " with ".join((name, *settings))
        return command(params=apply_settings(params, settings), design_name=name, **kwargs)

    return wrapper


def read_config(path: Path) -> Params:
    """The design of a configuration file, JSON where its name ends in .json and TOML otherwise.

    Raises
    ------
    InputError
        It cannot be read or does not describe a design.
    """
    text = read_text(path, _CONFIG_BYTES)
    try:
        return Params.from_json(text) if path.suffix == ".json" else Params.from_toml(text)
    except RecursionError:
        raise InputError(f"{path}: must not nest so deeply") from None
    except tomllib.TOMLDecodeError as e:
        raise InputError(f"{path}: {e}{_quotes_hint(text, str(e))}") from None
    except (ValueError, TypeError) as e:
        raise InputError(f"{path}: {e}") from None


def apply_settings(params: Params, settings: Sequence[str]) -> Params:
    """The design with parameters changed by ``key=value``, all at once; lists are written with commas.

    Raises
    ------
    InputError
        A text is malformed, or the parameters do not fit.
    """
    values: dict[str, str] = {}
    for setting in settings:
        key, equals, values[key] = setting.partition("=")
        if not equals:
            raise InputError(f"--set must be key=value, not {setting!r}")
    try:
        changes = {key: _parse_value(key, text) for key, text in values.items()}
        return Params.from_dict({**params.to_dict(), **changes})
    except (ValueError, TypeError) as e:
        raise InputError(f"--set {' --set '.join(settings)}: {e}") from None


def _quotes_hint(text: str, error: str) -> str:
    """What to do where TOML finds a bare word in place of a value; otherwise nothing."""
    place = re.match(r"Invalid value \(at line (\d+), column (\d+)\)", error)
    if place is None:
        return ""
    word = re.match(r"[A-Za-z][\w-]*", text.split("\n")[int(place[1]) - 1][int(place[2]) - 1 :])
    return f': text must be in quotes, "{word[0]}"' if word else ""


def _parse_value(key: str, text: str) -> list[str] | int | str:
    if key == "formats":
        return text.split(",")
    return int(text) if _INTEGER.fullmatch(text) else text
