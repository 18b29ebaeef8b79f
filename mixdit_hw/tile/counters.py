"""Counters that say how busy the array is."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

COUNTER_BITS = 32
STEP_EVENTS = ("passes", "wait_a", "wait_w", "wait_result", "wait_drain")


class Counters(wiring.Component):
    """Count cycles and steps from the first pass to the last result.

    Latency: 2 cycles from an event to its count (`latency`); events are registered first, since they come late in a
    cycle and the counters are wide. Throughput: every event, every cycle.

    Members
    -------
    clear : In(1)
        Set all counters to zero and wait for a first pass.
    passes_event, wait_a_event, wait_w_event, wait_result_event, wait_drain_event : In(1)
        What became of a step: a digit pass entered, or waited for this cause.
    result_event : In(1)
        A result beat leaves.
    cycles : Out(32)
        From the decision for the first pass to the latest result beat, both included. All counters wrap around.
    passes, wait_a, wait_w, wait_result, wait_drain : Out(32)
        Steps, of T cycles each, in which a digit pass entered, or had to wait for this cause since the first pass.
    """

    unit_name = "counters"
    unit_key = ()
    latency = 2

    def __init__(self) -> None:
        super().__init__(
            {"clear": In(1), "result_event": In(1), "cycles": Out(COUNTER_BITS)}
            | {f"{name}_event": In(1) for name in STEP_EVENTS}
            | {name: Out(COUNTER_BITS) for name in STEP_EVENTS}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        events = {
            name: Signal(name=f"{name}_1") for name in ("clear", "result_event", *(f"{e}_event" for e in STEP_EVENTS))
        }
        for name, event in events.items():
            m.d.sync += event.eq(getattr(self, name))

        running, now = Signal(), Signal(COUNTER_BITS)
        active, elapsed = Signal(), Signal(COUNTER_BITS)
        m.d.comb += [active.eq(running | events["passes_event"]), elapsed.eq(now + active)]
        with m.If(events["clear"]):
            m.d.sync += [running.eq(0), now.eq(0), self.cycles.eq(0)]
            m.d.sync += [getattr(self, name).eq(0) for name in STEP_EVENTS]
        with m.Else():
            m.d.sync += [running.eq(active), now.eq(elapsed)]
            with m.If(events["result_event"] & active):
                m.d.sync += self.cycles.eq(elapsed)
            for name in STEP_EVENTS:
                counter = getattr(self, name)
                m.d.sync += counter.eq(counter + (active & events[f"{name}_event"]))
        return m
