"""Flat ports of signatures."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.ports import describe_shape, description, flatten_ports, member_meanings
from mixdit_hw.shapes import BlockBeatLayout, BlockLayout, CommandLayout
from tests.support.errors import raises_exactly
from tests.support.units import Cell


class Shell(wiring.Component):
    """Ports alone."""


def names_and_widths(signature: dict) -> dict[str, int]:
    return {port.name: port.width for port in flatten_ports(Shell(signature))}


def test_stream_of_a_struct_has_a_port_for_each_field() -> None:
    ports = flatten_ports(Shell({"a": In(stream.Signature(BlockBeatLayout(2, 7)))}))
    assert [(p.name, p.start, p.width, p.output, p.stream) for p in ports] == [
        ("a_blocks", 0, 288, False, "a"),
        ("a_format", 288, 2, False, "a"),
        ("a_valid", 0, 1, False, "a"),
        ("a_ready", 0, 1, True, "a"),
    ]
    assert ports[0].layout == "2 x {exponent: u8, micro: u8, elements: 16 x {magnitude: u7, sign: u1}}"


def test_output_stream_turns_round() -> None:
    ports = flatten_ports(Shell({"c": Out(stream.Signature(8))}))
    assert [(p.name, p.width, p.output) for p in ports] == [
        ("c_payload", 8, True),
        ("c_valid", 1, True),
        ("c_ready", 1, False),
    ]


def test_struct_outside_of_a_stream_is_one_port() -> None:
    assert names_and_widths({"block": In(BlockLayout(4))}) == {"block": 96}


def test_arrays_of_members_are_numbered() -> None:
    signature = {"rows": In(stream.Signature(data.StructLayout({"x": 3}))).array(2), "t": Out(5).array(2)}
    assert names_and_widths(signature) == {
        "rows_0_x": 3,
        "rows_0_valid": 1,
        "rows_0_ready": 1,
        "rows_1_x": 3,
        "rows_1_valid": 1,
        "rows_1_ready": 1,
        "t_0": 5,
        "t_1": 5,
    }


def test_constants_and_members_of_no_bits_have_no_port() -> None:
    signature = {"a": In(stream.Signature(4, always_ready=True)), "nothing": In(0)}
    assert names_and_widths(signature) == {"a_payload": 4, "a_valid": 1}


def test_reserved_words_take_an_underscore() -> None:
    assert names_and_widths({"end": In(1), "reg": Out(1)}) == {"end_": 1, "reg_": 1}


def test_equal_names_are_refused() -> None:
    with raises_exactly(ValueError, "port of Shell must have a name of its own, not 'a_valid'"):
        flatten_ports(Shell({"a": In(stream.Signature(4)), "a_valid": In(1)}))


def test_clock_and_reset_are_taken() -> None:
    with raises_exactly(ValueError, "port of Shell must have a name of its own, not 'rst'"):
        flatten_ports(Shell({"rst": In(1)}))


def test_names_must_be_plain() -> None:
    with raises_exactly(ValueError, "port of Shell must be a plain Verilog identifier, not 'a_x.y'"):
        flatten_ports(Shell({"a": In(stream.Signature(data.StructLayout({"x.y": 1})))}))


def test_shapes_in_words() -> None:
    layout = data.StructLayout({"x": data.ArrayLayout(data.StructLayout({"y": -3 % 8}), 2), "z": range(-4, 4)})
    assert describe_shape(layout) == "{x: 2 x {y: u5}, z: s3}"


def test_meanings_come_from_the_docstring() -> None:
    text = "Value to square; clear the sum."
    assert member_meanings(Cell) == {
        "i": text,
        "clear": text,
        "total": "Sum.",
        "end": "The sum is past its half.",
    }
    assert member_meanings(Shell) == {}
    assert member_meanings(CommandLayout, "Fields").keys() == {"blocks", "accumulate"}
    assert description(Cell) == "Sum of squares."


class Several:
    """Members that share an entry.

    Members
    -------
    a, b : In(1), c, d : In(range(4)), e : Out(Shape(x, y)), one for each client
        All of them.
    f : Out
        Another.
    """


class Named(wiring.Component):
    """Members that are known at run time.

    Members
    -------
    <name> : In(8)
        Whatever it is.
    plain : In(1)
        As always.
    """

    def __init__(self) -> None:
        super().__init__({"known": In(8), "plain": In(1)})

    @property
    def meanings(self) -> dict[str, str]:
        return {"known": "Said at run time."}


def test_meanings_of_members_that_share_an_entry() -> None:
    assert member_meanings(Several) == {**dict.fromkeys("abcde", "All of them."), "f": "Another."}


def test_meanings_that_a_component_tells_itself() -> None:
    assert {port.name: port.meaning for port in flatten_ports(Named())} == {
        "known": "Said at run time.",
        "plain": "As always.",
    }


class Asked(data.StructLayout):
    """A question.

    Fields
    ------
    bytes : 16
        Two ``bytes``,
        in order.
    """

    def __init__(self) -> None:
        super().__init__({"bytes": 16, "more": 1})


class Answerer(wiring.Component):
    """Answers.

    Members
    -------
    q : In(stream), held : Out
        Questions.
    """

    def __init__(self) -> None:
        super().__init__({"q": In(stream.Signature(Asked())), "held": Out(Asked())})


def test_ports_have_the_meanings_of_layouts_and_members() -> None:
    """A field's is its layout's, without marks of code; a member keeps its own, and lists its fields."""
    ports = {port.name: port for port in flatten_ports(Answerer())}
    meanings = {name: port.meaning for name, port in ports.items()}
    assert meanings == {
        "q_bytes": "Two bytes, in order.",
        "q_more": "",
        "q_valid": "The stream's source has a beat; it stays until it is taken.",
        "q_ready": "The stream's sink takes the beat at the next rising edge of the clock, if there is one.",
        "held": "Questions.",
    }
    assert ports["held"].fields == {"bytes": "Two bytes, in order."}
    assert ports["q_bytes"].fields == {}
