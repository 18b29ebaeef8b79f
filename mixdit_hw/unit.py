"""Units: components that become one Verilog module each, however often they are used.

A unit is a `wiring.Component` with two more attributes::

    class Fifo(wiring.Component):
        unit_name = "fifo"                        # module mixdit_fifo

        @property
        def unit_key(self):                       # what its hardware depends on, apart from the class
            return ("width", self.width), ("depth", self.depth)

    def elaborate(self, platform):                # of a parent
        m = Module()
        for r in range(self.rows):
            add_unit(m, platform, f"fifo_{r}", self.fifos[r])   # instead of m.submodules[...] = ...

Where the platform is an `EmitPlatform`, the first unit of each class and key is elaborated and converted, and
every one becomes an instance of that module; with any other platform, such as None in simulation, a unit is a
plain submodule. A class that is used with several keys gets a module for each, named after the entries in which
the keys differ: ``mixdit_fifo_depth4``, ``mixdit_fifo_depth16``. Keys are tuples of integers, strings and tuples
of those; a unit without parameters has the key ().

What a unit and its members are is read from its docstring; where members come from data, a property ``meanings`` says
it (`ports.meanings_of`).

Rules for units: ``elaborate`` returns a Module, the clock domain is ``sync`` only, and no unit reaches into
another but through its ports. An instance costs time by its ports' number and bits, so plain wide ports are
better than structs where instances are many. Units created in ``elaborate``, not in the constructor, cost nothing
in those parents that are not elaborated.
"""

import re
from collections import Counter
from typing import Any, Protocol, runtime_checkable

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetInserter, ResetSignal, Signal, Value
from amaranth.hdl._ir import PortDirection

from .ports import Port, description, flatten_ports, meanings_of, member_value
from .rtlil import drop_unused_clocking

PREFIX = "mixdit_"
_ALL_OF_NOTHING = re.compile(r"cell \$reduce_and \S+\n +parameter \\A_SIGNED 0\n +parameter \\A_WIDTH 0\n")


@runtime_checkable
class Unit(Protocol):
    """What `add_unit` needs of a component."""

    unit_name: str

    @property
    def unit_key(self) -> tuple: ...

    @property
    def signature(self) -> Any: ...

    def elaborate(self, platform: Any) -> Module: ...


class UnitModule:
    """One distinct module of a design.

    Attributes
    ----------
    unit_name, key
        Of the unit.
    label
        Name in `rtlil` until `EmitPlatform.module_names` decides on the final one; no other module has it.
    ports
        Its ports, without clock and reset.
    clocking
        Which of the ports ``clk`` and ``rst`` it has: those that it uses.
    summary
        First sentence of the unit's docstring.
    description
        All that it says before its first section.
    meanings
        What is said of each member, see `ports.meanings_of`.
    latency
        The unit's ``latency``, or None where it declares none.
    children
        How many instances of which modules it holds itself.
    rtlil
        Its RTLIL text, plain submodules included, other units not.
    """

    def __init__(self, unit: Unit, label: str) -> None:
        self.unit_name = unit.unit_name
        self.key = unit.unit_key
        self.label = label
        self.signature = unit.signature
        self.ports: tuple[Port, ...] = flatten_ports(unit)
        self.clocking: tuple[str, ...] = ()
        self.description = description(type(unit))
        self.summary = self.description.partition("\n")[0]
        self.meanings = meanings_of(unit)
        self.latency: int | None = getattr(unit, "latency", None)
        self.children: Counter[UnitModule] = Counter()
        self.rtlil = ""


class EmitPlatform:
    """Collects the distinct modules of a design while it is elaborated; `emit.verilog` makes text of them.

    `modules` holds them in the order in which their elaboration ended, so children before parents.
    """

    def __init__(self) -> None:
        self.modules: list[UnitModule] = []
        self._known: dict[tuple[type, tuple], UnitModule] = {}
        self._classes: dict[str, type] = {}
        self._open: list[UnitModule] = []

    def module_of(self, unit: Unit) -> UnitModule:
        """The module of a unit, made now if it is the first of its class and key.

        Raises
        ------
        TypeError
            Not a unit, a key that is no tuple of integers, strings and such tuples, or no Module from ``elaborate``.
        ValueError
            Another class has the same ``unit_name``; a unit holds itself; another clock domain than ``sync``;
            ports that differ from those of an earlier unit of equal key, or without plain Verilog names; ``all()`` of
            no bits, which is 1 in simulation but 0 in Verilog.
        """
        if not isinstance(unit, Unit):
            raise TypeError(f"unit must be a component with unit_name and unit_key, not {unit!r}")
        name, key = unit.unit_name, unit.unit_key
        if not _is_key(key):
            raise TypeError(f"unit_key of {name} must be a tuple of integers, strings and such tuples, not {key!r}")
        owner = self._classes.setdefault(name, type(unit))
        if owner is not type(unit):
            raise ValueError(
                f"unit_name {name!r} must belong to one class, not to {owner.__name__} and {type(unit).__name__}"
            )
        module = self._known.get((owner, key))
        if module is None:
            module = UnitModule(unit, f"unit{len(self._known)}")
            self._known[owner, key] = module
            self._convert(unit, module)
            self.modules.append(module)
        elif module in self._open:
            raise ValueError(f"unit {name} with key {key!r} must not hold itself")
        elif module.signature != unit.signature:
            raise ValueError(f"units {name} of equal key {key!r} must have the same ports")
        return module

    def add(self, m: Module, name: str, unit: Unit, reset: Value | None = None) -> None:
        """Add an instance of a unit's module to a parent's module; see `add_unit`."""
        module = self.module_of(unit)
        if self._open:
            self._open[-1].children[module] += 1
        # An instance takes the place of the component, which Amaranth would else report as unused.
        unit._MustUse__used = True  # type: ignore[attr-defined]
        _name_signals(module, unit, f"{name}_")
        connections: list[tuple[str, str, Any]] = []
        if "clk" in module.clocking:
            connections.append(("i", "clk", ClockSignal()))
        if "rst" in module.clocking:
            connections.append(("i", "rst", ResetSignal() if reset is None else ResetSignal() | reset))
        connections += [("o" if port.output else "i", port.name, port.value(unit)) for port in module.ports]
        m.submodules[name] = Instance(module.label, *connections)

    def module_names(self) -> dict[UnitModule, str]:
        """Final name of each module, the same for the same design."""
        by_name: dict[str, list[UnitModule]] = {}
        for module in self.modules:
            by_name.setdefault(module.unit_name, []).append(module)
        names = {}
        for unit_name, variants in by_name.items():
            for module, suffix in zip(variants, _suffixes([v.key for v in variants]), strict=True):
                names[module] = f"{PREFIX}{unit_name}{suffix}"
        if len(set(names.values())) < len(names):
            raise ValueError(f"modules must have names of their own, not {sorted(names.values())!r}")
        return names

    def _convert(self, unit: Unit, module: UnitModule) -> None:
        def sync_only(domain: str) -> ClockDomain:
            if domain != "sync":
                raise ValueError(f"clock domain of unit {module.unit_name} must be sync, not {domain!r}")
            return ClockDomain("sync")

        _name_signals(module, unit, "")
        self._open.append(module)
        m = unit.elaborate(self)
        unit._MustUse__used = True  # type: ignore[attr-defined]
        self._open.pop()
        if not isinstance(m, Module):
            raise TypeError(f"elaborate of unit {module.unit_name} must return a Module, not {m!r}")
        ports = {
            port.name: (_port_signal(m, unit, port), PortDirection.Output if port.output else PortDirection.Input)
            for port in module.ports
        }
        text = rtlil.convert(m, name=module.label, ports=ports, emit_src=False, missing_domain=sync_only)
        if _ALL_OF_NOTHING.search(text):
            raise ValueError(f"all() in unit {module.unit_name} must be of at least one bit, not of none")
        module.rtlil, module.clocking = drop_unused_clocking(text)


def add_unit(m: Module, platform: Any, name: str, unit: Unit, *, reset: Value | None = None) -> None:
    """Add a unit to a parent's module under that name: an instance when emitting, a submodule otherwise.

    The name must be plain Verilog; the parent connects the unit's ports as those of any submodule. With ``reset`` the
    unit is also reset while that is high.

    Raises
    ------
    TypeError, ValueError
        See `EmitPlatform.module_of`.
    """
    if isinstance(platform, EmitPlatform):
        platform.add(m, name, unit, reset)
    else:
        m.submodules[name] = unit if reset is None else ResetInserter({"sync": reset})(unit)


def _name_signals(module: UnitModule, unit: Unit, prefix: str) -> None:
    """Give the unit's interface signals readable names; the prefix is the instance's in the parent."""
    for port in module.ports:
        signal = member_value(unit, port.path)
        if isinstance(signal, Signal):
            signal.name = prefix + (port.name if port.whole else "_".join(map(str, port.path)))


def _port_signal(m: Module, unit: Unit, port: Port) -> Value:
    """The signal that is the port: the member itself, or one of the port's own name for a part of it."""
    value = port.value(unit)
    if port.whole:
        return value
    signal = Signal(port.width, name=port.name)
    m.d.comb += signal.eq(value) if port.output else value.eq(signal)
    return signal


def _is_key(key: object) -> bool:
    return isinstance(key, tuple) and all(isinstance(k, int | str) or _is_key(k) for k in key)


def _suffixes(keys: list[tuple]) -> list[str]:
    """Suffixes that tell keys of one class apart, from those entries in which they differ."""
    if len(keys) == 1:
        return [""]
    if len({len(key) for key in keys}) > 1:
        return [f"_{_word(key)}" for key in keys]
    differing = [i for i in range(len(keys[0])) if len({key[i] for key in keys}) > 1]
    return ["".join(f"_{_word(key[i])}" for i in differing) for key in keys]


def _word(entry: object) -> str:
    if isinstance(entry, tuple):
        return "".join(_word(e) for e in entry)
    return "".join(c if c.isalnum() and c.isascii() else "_" for c in str(entry))
