"""Drive a unit's inputs and sample its outputs cycle by cycle under Amaranth's simulator.

For units that are not made of streams alone (for those, see `tests.support.streams`)::

    bench = Clocked(FP32Add())
    out = bench.run([{"a": x, "b": y} for x, y in pairs], ["o"])
    assert out["o"][FP32Add.latency] == ...

Row n of the stimulus is what the inputs are in cycle n; value n of an output is what it is at the end of that cycle, so
that a register shows in n+1 what it was given in n.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal, Value
from amaranth.sim import Simulator

RESET = "rst"  # name of the reset among the inputs


def clocked_simulator(dut: Elaboratable, process: Callable[[Any], Any]) -> tuple[Simulator, Signal]:
    """A simulator of a unit in a clock domain ``sync`` that runs a process, and the domain's reset."""
    top = Module()
    domain = ClockDomain("sync")
    top.domains += domain
    top.submodules.dut = dut
    tick = Signal()  # gives units without registers a clock to be tested in
    top.d.sync += tick.eq(~tick)
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_process(process)
    return simulator, domain.rst


class Clocked:
    """A unit, compiled once and run often; its clock domain is ``sync``.

    Parameters
    ----------
    dut
        The unit. Its members are called by their attributes, with dots for those of interfaces: ``cmd.valid``.

    Attributes
    ----------
    outputs
        What has been sampled in the present run so far, for a stimulus that answers the unit.
    """

    def __init__(self, dut: Elaboratable) -> None:
        self._dut = dut
        self._simulator, self._reset = clocked_simulator(dut, self._process)
        self._started = False
        self._stimulus: Iterable[Mapping[str, int]] = ()
        self._tail = 0
        self.outputs: dict[str, list[int]] = {}

    def run(self, stimulus: Iterable[Mapping[str, int]], outputs: Sequence[str], tail: int = 0) -> dict[str, list[int]]:
        """Start afresh and run a cycle for each row of the stimulus.

        Parameters
        ----------
        stimulus
            Raw bits of inputs by name, ``rst`` among them; what a row does not name is zero. May be a generator, which
            is asked for each row when the cycle before it has been sampled.
        outputs
            Names of what is sampled.
        tail
            Cycles with all inputs zero after the stimulus.

        Returns
        -------
        Raw bits of the outputs, cycle by cycle.
        """
        self._stimulus = stimulus
        self._tail = tail
        self.outputs = {name: [] for name in outputs}
        if self._started:
            self._simulator.reset()
        self._started = True
        self._simulator.run()
        return self.outputs

    def _member(self, name: str) -> Value:
        if name == RESET:
            return self._reset
        value: Any = self._dut
        for part in name.split("."):
            value = getattr(value, part)
        return Value.cast(value)

    def _rows(self) -> Iterable[Mapping[str, int]]:
        yield from self._stimulus
        for _ in range(self._tail):
            yield {}

    async def _process(self, ctx: Any) -> None:
        with ctx.critical():
            tick = ctx.tick().sample(*(self._member(name) for name in self.outputs))
            inputs: dict[str, tuple[Value, int]] = {}
            for row in self._rows():
                for name in row.keys() - inputs.keys():
                    inputs[name] = self._member(name), 0
                for name, (signal, held) in inputs.items():
                    value = row.get(name, 0)
                    if value != held:
                        ctx.set(signal, value)
                        inputs[name] = signal, value
                _, _, *values = await tick
                for sampled, value in zip(self.outputs.values(), values, strict=True):
                    sampled.append(value)


class Function(Elaboratable):
    """A unit around a function that builds hardware.

    Parameters
    ----------
    inputs
        Shape of each input; they become attributes.
    build
        Gets a module and the inputs by name, and returns values by name; these become attributes as signals.
    """

    def __init__(self, inputs: Mapping[str, Any], build: Callable[..., Mapping[str, Any]]) -> None:
        self._module = m = Module()
        signals = {name: Signal(shape, name=name) for name, shape in inputs.items()}
        outputs = {}
        for name, value in build(m, **signals).items():
            value = Value.cast(value)
            outputs[name] = Signal(value.shape(), name=name)
            m.d.comb += outputs[name].eq(value)
        for name, signal in (signals | outputs).items():
            setattr(self, name, signal)

    def elaborate(self, platform: object) -> Module:
        return self._module
