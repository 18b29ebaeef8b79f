"""Latencies of the core's units around the engines, in cycles, and of the core as a whole.

Data only, so that the hardware and its performance model share them. The engine's own are in `dot/timing.py`.
"""

from .params import Params

QUEUE_LATENCY = 1  # an operand accepted counts as there
SEQUENCER_LATENCY = 1  # the decision for a step to its control
CONTROL_DELAY = 1  # a step's control to the register of the first feeder, from which the next one takes it
READ_DELAY = 1  # an address to the block in the memory's output
FEEDER_LATENCY = CONTROL_DELAY + READ_DELAY  # a step's control to the first digits
OPERAND_DELAY = 1  # a cluster's inputs to its engines: the shared registers
READER_LATENCY = 2  # an entry's last word to its result beat


def array_latency(engine: int) -> int:
    """Cycles from the first phase of a tile's last pass to the first column's first result.

    Parameters
    ----------
    engine
        Cycles of an engine, `dot.timing.Timing.latency`.
    """
    return FEEDER_LATENCY + OPERAND_DELAY + engine


def core_latency(params: Params, engine: int) -> int:
    """Cycles from the decision for a tile's last pass to its first result beat, if nothing stalls.

    Parameters
    ----------
    params
        The design.
    engine
        Cycles of an engine, `dot.timing.Timing.latency`.
    """
    # The lane that writes last: that of the last column, in the last segment.
    last_lane = params.row_skew - (params.chain_rows - 1) * (params.interleave - 1) + params.column_skew
    return SEQUENCER_LATENCY + array_latency(engine) + last_lane + READER_LATENCY
