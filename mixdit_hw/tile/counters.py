"""Counters that say how busy the array is."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

COUNTER_BITS = 32
STEP_EVENTS = ("passes", "wait_a", "wait_w", "wait_result", "wait_drain")


class Counters(wiring.Component):
    """Count cycles and steps from the first pass to the last result.

    Members
    -------
    clear : In(1)
        Set all counters to zero and wait for a first pass.
    passes_event, wait_a_event, wait_w_event, wait_result_event, wait_drain_event : In(1)
        What became of a step (`Sequencer`).
    result_event : In(1)
        A result beat leaves.
    cycles : Out(32)
        From the decision for the first pass to the latest result beat, both included. All counters wrap around.
    passes, wait_a, wait_w, wait_result, wait_drain : Out(32)
        Steps, of T cycles each, in which a digit pass entered, or had to wait for this cause since the first pass.
    """

    unit_name = "counters"
    unit_key = ()

    def __init__(self) -> None:
        super().__init__(
            {"clear": In(1), "result_event": In(1), "cycles": Out(COUNTER_BITS)}
            | {f"{name}_event": In(1) for name in STEP_EVENTS}
            | {name: Out(COUNTER_BITS) for name in STEP_EVENTS}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        running, now = Signal(), Signal(COUNTER_BITS)
        with m.If(self.clear):
            m.d.sync += [running.eq(0), now.eq(0), self.cycles.eq(0)]
            m.d.sync += [getattr(self, name).eq(0) for name in STEP_EVENTS]
        with m.Else():
            active = running | self.passes_event
            m.d.sync += [running.eq(active), now.eq(now + active)]
            with m.If(self.result_event & active):
                m.d.sync += self.cycles.eq(now + 1)
            for name in STEP_EVENTS:
                counter = getattr(self, name)
                m.d.sync += counter.eq(counter + (active & getattr(self, f"{name}_event")))
        return m
