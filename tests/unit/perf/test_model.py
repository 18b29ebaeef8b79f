"""Whole steps: their parts add up, their products are the core's, and roles are exchanged where that is cheaper."""

import pytest

from mixdit_hw.params import Params
from mixdit_hw.perf.arrays import array, array_of
from mixdit_hw.perf.core import core_cost
from mixdit_hw.perf.memory import Memory, memory_cost
from mixdit_hw.perf.model import PARTS, step_cost
from mixdit_hw.presets import PRESETS
from mixdit_hw.workloads import MODELS, PAPER_MODELS
from tests.support.errors import raises_exactly


@pytest.mark.parametrize("name", PAPER_MODELS)
@pytest.mark.parametrize("memory", [None, Memory(bandwidth=256, latency=100), Memory(a=3)], ids=str)
def test_parts_add_up(name: str, memory: Memory | None) -> None:
    cost = step_cost(array_of(65536), MODELS[name].gemms(), memory)
    assert tuple(cost.parts) == PARTS
    assert sum(cost.parts.values()) == pytest.approx(cost.cycles, rel=1e-12)
    assert all(part >= -1e-6 for product in cost.products for part in product.parts.values())
    assert cost.parts["useful"] + cost.parts["k_padding"] == pytest.approx(cost.utilisation * cost.cycles)
    assert cost.parts["useful"] == pytest.approx(cost.useful * cost.cycles)


def test_products_are_the_cores() -> None:
    """Each kind pays its start once per block, however many instances it has."""
    params, gemms = PRESETS["base"], MODELS["DiT-XL-256"].gemms()
    cost = step_cost(params, gemms)
    for product, gemm in zip(cost.products, gemms, strict=True):
        core = core_cost(params, m=gemm.m, n=gemm.n, passes=gemm.passes, instances=gemm.count)
        assert product.cycles == 28 * core.cycles
        passes = 28 * gemm.count * gemm.m * gemm.n * sum(gemm.passes)
        assert product.utilisation == passes / (256 * product.cycles)
    assert cost.cycles == sum(product.cycles for product in cost.products)


def test_bytes() -> None:
    params = Params(rows=16, columns=16, a_depth=128)
    product = step_cost(params, MODELS["DiT-XL-256"].gemms(), Memory(buffer=0)).products[0]
    gemm = product.gemm
    assert product.bytes == {"a": 28 * 72 * gemm.a_bytes, "w": 28 * 8 * gemm.w_bytes, "c": 28 * gemm.c_bytes}
    assert product.events.memory_bytes == sum(product.bytes.values())


def test_events_add_up() -> None:
    cost = step_cost(PRESETS["base"], MODELS["DiT-XL-512"].gemms())
    assert sum(cost.events.macs.values()) == sum(g.macs for g in MODELS["DiT-XL-512"].gemms())
    assert cost.events.digit_passes == sum(p.events.digit_passes for p in cost.products)


def test_roles() -> None:
    """With T*R = 72 rows and 64 columns, A V fits without loss the other way round, and C is the transpose."""
    params = array(18, 64)
    gemms = [gemm for gemm in MODELS["DiT-XL-256"].gemms() if gemm.layer == "av"]
    fixed, best = (step_cost(params, gemms, roles=roles) for roles in ("fixed", "best"))
    assert [product.swapped for product in fixed.products] == [False, False]
    assert [product.swapped for product in best.products] == [True, True]
    assert best.products[0].gemm == gemms[0].swapped()
    assert best.products[0].cycles == 28 * memory_cost(params, gemms[0].swapped(), Memory()).cycles
    assert best.parts["padding"] == 0
    assert best.cycles < fixed.cycles


def test_errors() -> None:
    gemms = MODELS["DiT-XL-256"].gemms()
    with raises_exactly(ValueError, "roles must be one of fixed, best, not 'any'"):
        step_cost(Params(), gemms, roles="any")
    with raises_exactly(ValueError, "gemms must be at least one, not none"):
        step_cost(Params(), [])
    with raises_exactly(ValueError, "formats must hold mx9, which the products need, not only mx6"):
        step_cost(Params(formats=("mx6",)), gemms)
