"""Pipeline registers without reset."""

from types import SimpleNamespace

from amaranth.hdl import Module, Signal, Value, ValueLike


def register(m: Module, value: ValueLike, name: str, cycles: int = 1) -> Signal:
    """Return ``value`` as it was ``cycles`` clock cycles ago, in registers that have no reset.

    Data that nobody reads before it has been written needs no reset, and a reset costs a gate for each bit. The
    registers are called ``name``, those before the last ``name_1``, ``name_2`` and so on.
    """
    if cycles < 1:
        raise ValueError(f"cycles must be at least 1, not {cycles}")
    current = Value.cast(value)
    shape = current.shape()
    for i in range(1, cycles + 1):
        stage = Signal(shape, name=name if i == cycles else f"{name}_{i}", reset_less=True)
        m.d.sync += stage.eq(current)
        current = stage
    assert isinstance(current, Signal)
    return current


def cut(m: Module, suffix: str, active: bool = True, /, **values: ValueLike) -> SimpleNamespace:
    """Cut a pipeline: return all values a clock cycle later, as attributes, or as they are unless ``active``.

    The registers are called as their values, with ``suffix``.
    """
    names = {name: Value.cast(value) for name, value in values.items()}
    if active:
        names = {name: register(m, value, f"{name}{suffix}") for name, value in names.items()}
    return SimpleNamespace(**names)
