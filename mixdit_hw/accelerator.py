"""The accelerator: jobs from memory to memory, on AXI4 and AXI4-Lite."""

from collections.abc import Mapping

from amaranth.hdl import Cat, ClockDomain, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from .bus.axi import AxiSignature, connect_part
from .bus.axil import AxiLiteSignature
from .bus.control import JobControl
from .bus.csr import ADDRESS_BITS, CsrBank
from .bus.fetch import Fetcher
from .bus.layouts import TileLayout
from .bus.read import ReadArbiter
from .bus.write import Writer
from .params import Params, power_of_two_from
from .tile.buffer import OperandBuffer
from .tile.counters import COUNTER_BITS, STEP_EVENTS
from .tile.load import OperandLoader
from .tile.place import splits
from .tile.plan import TilePlan
from .top import Core
from .unit import add_unit
from .vector.columns import SETS
from .vector.output import OutputStage

TILE_DEPTH = 4  # tiles that wait for each of those who want to know of them
READERS = 3  # of A, of W, and of all else
_LEAST_DEPTH, _MOST_DEPTH = 16, 512


def control_depth(params: Params) -> int:
    """Beats that the reader of descriptors, masks, scale and bias can have under way: those of all `SETS` of words."""
    beats = -(-4 * params.columns * 8 // params.axi_width) + 1  # of a tile's words, wherever they begin
    return min(max(power_of_two_from(2 * SETS * beats), _LEAST_DEPTH), _MOST_DEPTH)


class System(wiring.Component):
    """Runs jobs: reads A and W from memory, converts and multiplies them, and writes C in the format asked for.

    A job is described by 128 bytes in memory (`mixdit_hw.job`), whose address the host writes to a register before it
    rings the doorbell. Loading, computing and storing overlap: A and W have buffers of several slots, results leave by
    memories of their own.

    Throughput: that of the core, as far as the bus and one block of A and one of W per cycle suffice.

    Parameters
    ----------
    params
        The design.
    constants
        Values of the registers that never change, by name (`mixdit_hw.registers.capability_values`).

    Members
    -------
    m_axi : Out(AXI4 master)
        Memory: descriptors, operands and results. Bursts of full width and increasing addresses within 4 KiB, one
        identifier.
    s_axil : In(AXI4-Lite slave)
        Registers (docs/registers.md).
    irq : Out(1)
        An interrupt is pending and enabled; high until it is cleared.
    """

    unit_name = "system"

    def __init__(self, params: Params, constants: Mapping[str, int]) -> None:
        self._params = params
        self._constants = dict(constants)
        super().__init__(
            {
                "m_axi": Out(AxiSignature(params.address_bits, params.axi_width)),
                "s_axil": In(AxiLiteSignature(ADDRESS_BITS)),
                "irq": Out(1),
            }
        )

    @property
    def params(self) -> Params:
        """The design."""
        return self._params

    @property
    def unit_key(self) -> tuple:
        constants = tuple(sorted(self._constants.items()))
        return *((name, value) for name, value in _plain(self._params)), ("constants", constants)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        add_unit(m, platform, "registers", bank := CsrBank(self._constants))
        add_unit(m, platform, "control", control := JobControl(p))
        reset = control.reset

        add_unit(m, platform, "readers", arbiter := ReadArbiter(p, READERS), reset=reset)
        add_unit(m, platform, "writer", writer := Writer(p), reset=reset)
        fetchers = [Fetcher(p), Fetcher(p), Fetcher(p.replace(read_depth=control_depth(p)))]
        for n, (name, fetcher) in enumerate(zip(("a", "w", "other"), fetchers, strict=True)):
            add_unit(m, platform, f"{name}_fetcher", fetcher, reset=reset)
            wiring.connect(m, fetcher.ar, arbiter.ar[n])
            m.d.comb += [
                fetcher.r_valid.eq(arbiter.r_valid[n]),
                fetcher.r_data.eq(arbiter.r_data),
                fetcher.halt.eq(control.halt),
            ]
        connect_part(m, self.m_axi, arbiter.axi)
        connect_part(m, self.m_axi, writer.axi)
        m.d.comb += [
            arbiter.halt.eq(control.halt),
            writer.halt.eq(control.halt),
            control.read_idle.eq(arbiter.idle),
            control.read_error.eq(arbiter.error),
            control.write_idle.eq(writer.idle),
            control.write_error.eq(writer.error),
        ]

        add_unit(m, platform, "core", core := Core(p), reset=reset)
        add_unit(m, platform, "output", output := OutputStage(p), reset=reset)
        add_unit(m, platform, "plan", plan := TilePlan(p), reset=reset)
        loaders, buffers = [], []
        for side, fetcher, beats in (("a", fetchers[0], core.a), ("w", fetchers[1], core.w)):
            add_unit(m, platform, f"{side}_loader", loader := OperandLoader(p, side), reset=reset)
            add_unit(m, platform, f"{side}_buffer", buffer := OperandBuffer(p, side), reset=reset)
            wiring.connect(m, loader.run, fetcher.run)
            wiring.connect(m, fetcher.o, loader.item)
            wiring.connect(m, buffer.o, beats)
            m.d.comb += [
                buffer.write.eq(loader.write_en),
                buffer.write_bank.eq(loader.write_bank),
                buffer.write_address.eq(loader.write_address),
                buffer.write_block.eq(loader.write_block),
                buffer.filled.eq(loader.filled),
                loader.free.eq(buffer.free),
            ]
            loaders.append(loader)
            buffers.append(buffer)
        if splits(p, "a"):
            m.d.comb += [
                loaders[0].mask_en.eq(control.mask_write),
                loaders[0].mask_address.eq(control.mask_address),
                loaders[0].mask_data.eq(control.mask_data),
            ]
        for unit in (*loaders, *buffers, plan, output):
            m.d.comb += [unit.job.eq(control.job), unit.start.eq(control.start)]
        self._share_reader(m, fetchers[2], control, output)
        self._share_tiles(m, plan, [buffers[0].tile, buffers[1].tile, output.tile], core, control, reset)
        wiring.connect(m, core.c, output.c)
        wiring.connect(m, output.piece, writer.piece)
        m.d.comb += [core.clear.eq(control.start), control.done.eq(output.done)]
        wiring.connect(m, wiring.flipped(self.s_axil), bank.s_axil)
        self._registers(m, bank, control)
        self._counters(m, bank, control, core, arbiter, writer)
        return m

    def _share_reader(self, m: Module, fetcher: Fetcher, control: JobControl, output: OutputStage) -> None:
        """The third reader serves the control until the job runs, and then the output stage."""
        running = control.running
        with m.If(running):
            m.d.comb += [
                fetcher.run.payload.eq(output.run.payload),
                fetcher.run.valid.eq(output.run.valid),
                fetcher.o.ready.eq(output.item.ready),
            ]
        with m.Else():
            m.d.comb += [
                fetcher.run.payload.eq(control.run.payload),
                fetcher.run.valid.eq(control.run.valid),
                fetcher.o.ready.eq(control.item.ready),
            ]
        m.d.comb += [
            output.run.ready.eq(fetcher.run.ready & running),
            control.run.ready.eq(fetcher.run.ready & ~running),
            output.item.payload.eq(fetcher.o.payload),
            control.item.payload.eq(fetcher.o.payload),
            output.item.valid.eq(fetcher.o.valid & running),
            control.item.valid.eq(fetcher.o.valid & ~running),
        ]

    def _share_tiles(self, m: Module, plan: TilePlan, takers, core: Core, control: JobControl, reset: Signal) -> None:
        """Each tile goes to all that take part in it, each of which has a queue."""
        ready = core.cmd.ready
        queues = []
        for n, taker in enumerate(takers):
            queue = SyncFIFOBuffered(width=TileLayout().size, depth=TILE_DEPTH)
            m.submodules[f"tiles_{n}"] = ResetInserter({"sync": reset})(queue)
            m.d.comb += [
                queue.w_data.eq(plan.tile.payload),
                taker.payload.eq(queue.r_data),
                taker.valid.eq(queue.r_rdy),
                queue.r_en.eq(taker.ready),
            ]
            queues.append(queue)
            ready = ready & queue.w_rdy
        given = Signal()
        m.d.comb += [
            plan.tile.ready.eq(ready),
            given.eq(plan.tile.valid & ready),
            core.cmd.valid.eq(given),
            core.cmd.payload.blocks.eq(control.job.ends[3]),
        ]
        m.d.comb += [queue.w_en.eq(given) for queue in queues]

    def _registers(self, m: Module, bank: CsrBank, control: JobControl) -> None:
        done, failed = Signal(32), Signal(32)
        fault, fault_tag = Signal(8), Signal(32)
        with m.If(control.ended):
            m.d.sync += done.eq(done + 1)
        with m.If(control.failed):  # in the cycle of an acknowledgement it stays, as `control.halted` does
            m.d.sync += [failed.eq(failed + 1), fault.eq(control.fault), fault_tag.eq(control.tag)]
        with m.Elif(bank.fault_clear_strobe):
            m.d.sync += [fault.eq(0), fault_tag.eq(0)]
        m.d.comb += [
            control.doorbell.eq(bank.doorbell_strobe),
            control.address.eq(Cat(bank.job_address_lo, bank.job_address_hi)),
            control.abort.eq(bank.control_strobe & bank.control_data[0]),
            control.flush.eq(bank.control_strobe & bank.control_data[1]),
            control.acknowledge.eq(bank.fault_clear_strobe),
            control.base.eq(Cat(bank.window_base_lo, bank.window_base_hi)),
            control.last.eq(Cat(bank.window_last_lo, bank.window_last_hi)),
            bank.status.eq(Cat(control.busy, control.halted, Signal(6), control.waiting)),
            bank.done_count.eq(done),
            bank.fault_count.eq(failed),
            bank.job_tag.eq(control.tag),
            bank.fault.eq(fault),
            bank.fault_tag.eq(fault_tag),
            bank.irq_status_set.eq(Cat(control.job_interrupt, control.empty, control.failed, control.dropped)),
        ]
        m.d.sync += self.irq.eq((bank.irq_status & bank.irq_enable).any())

    def _counters(self, m: Module, bank: CsrBank, control: JobControl, core: Core, arbiter, writer) -> None:
        """What the job at work has taken so far; shown when it has ended."""
        events = {
            "job_cycles": 1,
            "read_beats": arbiter.beat,
            "read_wait": arbiter.wait,
            "write_beats": writer.beat,
            "write_wait": writer.wait,
        }
        counts = {name: Signal(COUNTER_BITS, name=name) for name in events}
        ended = control.ended | control.failed
        started = Signal()  # this job; before that, the core still has the counts of another
        with m.If(control.start):
            m.d.sync += started.eq(1)
        with m.Elif(~control.active):
            m.d.sync += started.eq(0)
        for name, count in counts.items():
            with m.If(~control.active):
                m.d.sync += count.eq(0)
            with m.Else():
                m.d.sync += count.eq(count + events[name])
        for name in (*events, "cycles", *STEP_EVENTS):
            last = Signal(COUNTER_BITS, name=f"last_{name}")
            if name in counts:
                with m.If(ended):
                    m.d.sync += last.eq(counts[name])
            else:  # the core's own, which are gone after the reset at a fault
                with m.If(control.ended | control.reset):
                    m.d.sync += last.eq(Mux(started, getattr(core, name), 0))
            m.d.comb += getattr(bank, name).eq(last)


class Accelerator(wiring.Component):
    """Multiplies matrices in memory, job by job, in mixed MX formats.

    One clock; the reset is synchronous and active low.

    Parameters
    ----------
    params
        The design.
    constants
        See `System`.

    Members
    -------
    aclk : In(1), aresetn : In(1)
        Clock, and reset, synchronous and active low.
    m_axi : Out(AXI4 master)
        Memory: descriptors, operands and results. Bursts of full width and increasing addresses within 4 KiB, one
        identifier.
    s_axil : In(AXI4-Lite slave)
        Registers (docs/registers.md).
    irq : Out(1)
        An interrupt is pending and enabled; high until it is cleared.
    """

    unit_name = "accelerator"

    def __init__(self, params: Params, constants: Mapping[str, int]) -> None:
        self._system = System(params, constants)
        super().__init__({"aclk": In(1), "aresetn": In(1)} | dict(self._system.signature.members.items()))

    @property
    def unit_key(self) -> tuple:
        return self._system.unit_key

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain(local=True)
        m.d.comb += [sync.clk.eq(self.aclk), sync.rst.eq(~self.aresetn)]
        add_unit(m, platform, "system", self._system)
        for name in ("m_axi", "s_axil"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self._system, name))
        m.d.comb += self.irq.eq(self._system.irq)
        return m


def _plain(params: Params):
    """The parameters as entries of a key."""
    return ((name, tuple(v) if isinstance(v, list) else v) for name, v in params.to_dict().items())
