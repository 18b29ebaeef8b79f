"""Units: one module each when emitting, plain submodules otherwise."""

import re
from typing import Any

import pytest
from amaranth.hdl import Fragment, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.unit import EmitPlatform, add_unit
from tests.support.errors import raises_exactly
from tests.support.units import Buffer, Cell, Toy


def emitted(unit: Any) -> EmitPlatform:
    platform = EmitPlatform()
    platform.module_of(unit)
    return platform


def test_each_distinct_unit_is_emitted_once() -> None:
    platform = emitted(Toy())
    assert list(platform.module_names().values()) == [
        "mixdit_buffer_width35_depth3",
        "mixdit_buffer_width72_depth5",
        "mixdit_pick",
        "mixdit_cell",
        "mixdit_toy",
    ]
    top = platform.modules[-1]
    assert {child.unit_name: count for child, count in top.children.items() if child.unit_name != "buffer"} == {
        "pick": 1,
        "cell": 4,
    }


def test_clock_and_reset_are_ports_where_they_are_used() -> None:
    clocking = {module.unit_name: module.clocking for module in emitted(Toy()).modules}
    assert clocking == {"buffer": ("clk", "rst"), "pick": (), "cell": ("clk", "rst"), "toy": ("clk", "rst")}


def test_latency_and_summary_are_kept() -> None:
    by_name = {module.unit_name: module for module in emitted(Toy()).modules}
    assert (by_name["cell"].latency, by_name["buffer"].latency) == (2, None)
    assert by_name["pick"].summary == "One of four bytes; without a clock."


def test_without_an_emitting_platform_units_are_submodules() -> None:
    fragment = Fragment.get(Toy(), None)
    assert [name for _, name, _ in fragment.subfragments] == [
        "in_buffer",
        "out_buffer",
        "pick",
        *(f"cell_{i}" for i in range(4)),
    ]


@pytest.mark.parametrize("copies", [2, 3])
def test_only_differing_entries_of_keys_are_in_names(copies: int) -> None:
    platform = EmitPlatform()
    for i in range(copies):
        platform.module_of(Buffer(8, 2 + i))
    assert list(platform.module_names().values()) == [f"mixdit_buffer_depth{2 + i}" for i in range(copies)]


class Odd(wiring.Component):
    """A unit that breaks a rule, which the tests choose."""

    unit_name = "odd"

    def __init__(self, key: Any = (), module: Any = None, signature: dict | None = None) -> None:
        self.unit_key = key
        self._module = module
        super().__init__(signature or {"i": In(1), "o": Out(1)})

    def elaborate(self, platform: Any) -> Any:
        m = Module()
        if self._module == "itself":
            add_unit(m, platform, "odd", Odd(module="itself"))
        elif self._module == "domain":
            m.d.fast += self.o.eq(self.i)
        elif self._module == "nothing":
            m.d.comb += self.o.eq(self.i & self.i[:0].all())
        elif self._module is not None:
            return self._module
        return m


class Impostor(Odd):
    """Another class of the same name."""


def test_an_object_without_name_is_no_unit() -> None:
    signal = Signal(name="x")
    with pytest.raises(TypeError) as error:
        EmitPlatform().module_of(signal)  # type: ignore[arg-type]
    assert str(error.value) == "unit must be a component with unit_name and unit_key, not (sig x)"


def test_keys_are_tuples_of_plain_values() -> None:
    with pytest.raises(TypeError) as error:
        emitted(Odd(key=("width", 1.5)))
    assert (
        str(error.value) == "unit_key of odd must be a tuple of integers, strings and such tuples, not ('width', 1.5)"
    )


def test_elaborate_gives_a_module() -> None:
    with pytest.raises(TypeError) as error:
        emitted(Odd(module="text"))
    assert str(error.value) == "elaborate of unit odd must return a Module, not 'text'"


def test_a_name_belongs_to_one_class() -> None:
    platform = emitted(Odd())
    with raises_exactly(ValueError, "unit_name 'odd' must belong to one class, not to Odd and Impostor"):
        platform.module_of(Impostor())


def test_a_unit_does_not_hold_itself() -> None:
    with raises_exactly(ValueError, "unit odd with key () must not hold itself"):
        emitted(Odd(module="itself"))


def test_the_domain_is_sync() -> None:
    with raises_exactly(ValueError, "clock domain of unit odd must be sync, not 'fast'"):
        emitted(Odd(module="domain"))


def test_all_of_no_bits_is_refused() -> None:
    with raises_exactly(ValueError, "all() in unit odd must be of at least one bit, not of none"):
        emitted(Odd(module="nothing"))


def test_units_of_equal_key_have_equal_ports() -> None:
    platform = emitted(Odd())
    with raises_exactly(ValueError, "units odd of equal key () must have the same ports"):
        platform.module_of(Odd(signature={"i": In(2), "o": Out(1)}))


def test_an_output_that_nothing_drives_is_an_output() -> None:
    assert re.search(r"wire width 1 output \d+ +\\o$", emitted(Odd()).modules[0].rtlil, re.MULTILINE)


def test_names_of_modules_differ() -> None:
    platform = EmitPlatform()
    platform.module_of(Odd(key=("a b",)))
    platform.module_of(Odd(key=("a_b",)))
    with raises_exactly(ValueError, "modules must have names of their own, not ['mixdit_odd_a_b', 'mixdit_odd_a_b']"):
        platform.module_names()


def test_cells_are_marked_as_used() -> None:
    m, platform, cell = Module(), EmitPlatform(), Cell()
    add_unit(m, platform, "cell", cell)
    assert cell._MustUse__used  # type: ignore[attr-defined]
