"""Flat, readable ports of a component's signature.

A stream member ``a`` becomes ``a_valid``, ``a_ready`` and one port for each first-level field of its payload's
struct (``a_blocks``, ``a_format``), or ``a_payload`` where the payload is no struct. Every other member keeps its
path, joined by single underscores (``digits``, ``row_0_valid``), with its bits as they are. Constants (the ready of
a stream that is always ready) and members of no bits have no port. A name that is a reserved word takes an underscore
at its end.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import Const, Shape, Value
from amaranth.lib import data, stream, wiring

from .keywords import VERILOG_KEYWORDS

HANDSHAKE = (
    "On each stream a beat moves at every rising edge of the clock at which valid and ready are both high. Once valid "
    "is high, it and the payload must stay as they are until then."
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HANDSHAKE = {
    "valid": "The stream's source has a beat; it stays until it is taken.",
    "ready": "The stream's sink takes the beat at the next rising edge of the clock, if there is one.",
}


@dataclass(frozen=True, kw_only=True)
class Port:
    """One port.

    Parameters
    ----------
    name
        Verilog name.
    path
        Attribute names and indices that lead from the component to the member.
    start, width
        Bits of the member that the port carries.
    whole
        The port is the entire member.
    output
        The component drives it.
    signed
        The member's shape is signed; the port carries the same bits.
    stream
        The stream that it is part of, or "".
    layout
        Its bits, see `describe_shape`.
    meaning
        What the docstrings say of it: of a payload's field its layout's, of another member the component's; "" where
        they say nothing.
    fields
        What its layout's docstring says of its fields, where the port is an entire struct.
    """

    name: str
    path: tuple[str | int, ...]
    start: int
    width: int
    whole: bool
    output: bool
    signed: bool
    stream: str
    layout: str
    meaning: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def value(self, component: Any) -> Value:
        """The port's bits in that component."""
        member = member_value(component, self.path)
        return member if self.whole else member[self.start : self.start + self.width]


def member_value(component: Any, path: tuple[str | int, ...]) -> Value:
    """The value that a path of attribute names and indices leads to."""
    obj = component
    for step in path:
        obj = getattr(obj, step) if isinstance(step, str) else obj[step]
    return Value.cast(obj)


def describe_shape(shape: Any) -> str:
    """A shape in words, least significant field first; u8 is unsigned of 8 bits, s4 signed of 4.

    A struct is ``{exponent: u8, sign: u1}``, an array ``16 x u8``.
    """
    if isinstance(shape, data.StructLayout):
        return "{" + ", ".join(f"{name}: {describe_shape(field.shape)}" for name, field in shape) + "}"
    if isinstance(shape, data.ArrayLayout):
        return f"{shape.length} x {describe_shape(shape.elem_shape)}"
    shape = Shape.cast(shape)
    return f"{'s' if shape.signed else 'u'}{shape.width}"


def description(described: type) -> str:
    """What a class's own docstring says before its first section, with plain text for its marks of code."""
    text = re.split(r"\n\n\w+\n-+\n", _docstring(described), maxsplit=1)[0]
    return text.replace("``", "").strip()


def member_meanings(described: type, title: str = "Members") -> dict[str, str]:
    """What a section of a class's own docstring says of each member, in one line; a layout's is "Fields"."""
    section = re.search(rf"^{title}\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", _docstring(described), re.M | re.S)
    meanings = {}
    for entry in re.split(r"\n(?=\S)", section[1]) if section else ():
        head, _, text = entry.partition("\n")
        for declaration in re.split(r", (?=\w+(?:, \w+)* : )", head):
            for name in declaration.partition(" : ")[0].split(", "):
                meanings[name.strip()] = " ".join(text.replace("``", "").split())
    return meanings


def meanings_of(component: Any) -> dict[str, str]:
    """What is said of a component's members: by its class, and by its own ``meanings``, where they come from data."""
    return member_meanings(type(component)) | getattr(component, "meanings", {})


def _docstring(described: type) -> str:
    return inspect.cleandoc(described.__doc__ or "")


def flatten_ports(component: wiring.Component) -> tuple[Port, ...]:
    """All ports, in the order of the signature.

    Raises
    ------
    ValueError
        A name is no plain Verilog identifier, or two ports have the same one.
    """
    ports = tuple(_ports(component))
    seen = {"clk", "rst"}
    for port in ports:
        if not _PLAIN.match(port.name):
            raise ValueError(
                f"port of {type(component).__name__} must be a plain Verilog identifier, not {port.name!r}"
            )
        if port.name in seen:
            raise ValueError(f"port of {type(component).__name__} must have a name of its own, not {port.name!r}")
        seen.add(port.name)
    return ports


def _ports(component: Any) -> Iterator[Port]:
    payload_shapes = _payload_shapes(component.signature)
    meanings = meanings_of(component)
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if isinstance(value, Const) or len(value) == 0:
            continue
        name = "_".join(map(str, path))
        name += "_" if name in VERILOG_KEYWORDS else ""
        is_stream = path in payload_shapes
        is_payload = is_stream and path[-1] == "payload"
        is_flag = is_stream and not is_payload
        shape = payload_shapes[path] if is_payload else member.shape
        link = "_".join(map(str, path[:-1]))
        common = {
            "path": path,
            "output": member.flow is wiring.Out,
            "stream": link if is_stream else "",
        }
        fields = member_meanings(type(shape), "Fields") if isinstance(shape, data.StructLayout) else {}
        if not (is_payload and isinstance(shape, data.StructLayout)):
            yield Port(
                name=name,
                start=0,
                width=len(value),
                whole=True,
                signed=value.shape().signed,
                layout=describe_shape(shape),
                meaning=_HANDSHAKE[str(path[-1])] if is_flag else meanings.get(str(path[0]), ""),
                fields=fields,
                **common,
            )
            continue
        for field_name, part in shape:
            yield Port(
                name=f"{link}_{field_name}",
                start=part.offset,
                width=part.width,
                whole=False,
                signed=Shape.cast(part.shape).signed,
                layout=describe_shape(part.shape),
                meaning=fields.get(str(field_name), ""),
                **common,
            )


def _payload_shapes(signature: wiring.Signature) -> dict[tuple[str | int, ...], Any]:
    """Paths of all members of streams, each with the shape of its stream's payload."""
    found: dict[tuple[str | int, ...], Any] = {}

    def visit(signature: wiring.Signature, path: tuple[str | int, ...]) -> None:
        is_stream = isinstance(signature, stream.Signature) or (
            isinstance(signature, wiring.FlippedSignature) and isinstance(signature.flip(), stream.Signature)
        )
        for name, member in signature.members.items():
            if is_stream:
                found[*path, name] = signature.members["payload"].shape
            elif member.is_signature:
                for index in _indices(member.dimensions):
                    visit(member.signature, (*path, name, *index))

    visit(signature, ())
    return found


def _indices(dimensions: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not dimensions:
        yield ()
        return
    for first in range(dimensions[0]):
        for rest in _indices(dimensions[1:]):
            yield (first, *rest)
