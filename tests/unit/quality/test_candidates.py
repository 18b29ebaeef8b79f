"""What is compared, and what it costs."""

from dataclasses import replace

import pytest

from golden.formats import FORMATS
from golden.policy import PrecisionPolicy
from mixdit_hw.checkpoint import load_dit
from mixdit_hw.policy_work import policy_cycles
from mixdit_hw.presets import PRESETS
from mixdit_hw.quality.candidates import (
    BASE,
    CONTROL,
    EXTRA,
    Candidate,
    calibrated_candidates,
    calibrated_names,
    fixed_candidates,
    formats_of,
    outlier_share,
    renamed,
)
from mixdit_hw.quality.emulate import SCHEMES


def _policy(candidate: Candidate) -> PrecisionPolicy:
    assert candidate.policy is not None
    return candidate.policy


OPTIONS = {"steps": 2, "guidance": 2.0, "eta": 0.0}


def test_fixed():
    candidates = fixed_candidates()
    names = [c.name for c in candidates]
    assert names == [BASE, *FORMATS, "mx9-mx6", *SCHEMES]
    assert CONTROL in names
    assert set(EXTRA) < set(names)
    model, _ = load_dit()
    bits = {c.name: c.bits(model.config) for c in candidates}
    assert bits[BASE] == 32
    assert (bits["mx4"], bits["mx6"], bits["mx9"]) == (4, 6, 9)
    assert 7.5 < bits["mx9-mx6"] < 8  # both operands of attention are activations
    cycles = {c.name: c.cycles(model.config, PRESETS["small"]) for c in candidates}
    assert [name for name, n in cycles.items() if n is None] == [BASE, *SCHEMES]
    assert cycles["mx4"] == cycles["mx6"] == policy_cycles(model.config, PrecisionPolicy(), PRESETS["small"])
    mx6, both, mx9 = (cycles[name] for name in ("mx6", "mx9-mx6", "mx9"))
    assert mx6 is not None
    assert both is not None
    assert mx9 is not None
    assert 3.9 * mx6 < mx9 <= 4 * mx6  # 4 digit passes; 2 where only A is MX9, but 4 in attention
    assert 2 * mx6 < both < mx9


def test_calibrated():
    model, schedule = load_dit()
    told = []
    candidates = calibrated_candidates(
        model,
        schedule,
        fractions=["5%", "50%"],
        targets=[30.0],
        options=OPTIONS,
        advance=lambda done, total: told.append((done, total)),
    )
    assert [c.name for c in candidates] == ["mix-5pc", "mix-50pc", "mix-30db"]
    assert calibrated_names(["5%", "50%"], [30.0]) == [c.name for c in candidates]
    assert calibrated_candidates(model, schedule, fractions=[], targets=[], options=OPTIONS) == []
    assert told == [(1, 3), (2, 3), (3, 3)]
    five, fifty, target = (_policy(candidate) for candidate in candidates)
    for policy in (five, fifty, target):
        policy.check(model.config)
        assert policy.outlier_weight_format == "mx9"
    assert len(five.outliers["blocks.0.mlp.fc2"]) == 576 * 5 // 100
    assert outlier_share(fifty, model.config) == pytest.approx(0.5)
    assert fifty.heads["blocks.0.attn"] in ((0,), (1,))
    assert five.heads["blocks.0.attn"] == ()
    assert 0 < outlier_share(target, model.config) < 1
    bits = [c.bits(model.config) for c in candidates]
    assert 6 < bits[0] < bits[1] < 9


def test_what_a_design_lacks():
    model, _ = load_dit()
    wide = Candidate(name="w", about="", policy=PrecisionPolicy(heads={"blocks.0.attn": (0,)}))
    assert formats_of(_policy(wide), model.config) == {"mx6", "mx9"}
    narrow = replace(PRESETS["small"], formats=("mx6",))
    assert wide.cycles(model.config, narrow) is None
    exempt = Candidate(name="e", about="", policy=PrecisionPolicy(exempt=("blocks.0.*",)))
    assert exempt.cycles(model.config, narrow) is None  # what is exempt counts as MX9
    assert Candidate(name="n", about="", policy=PrecisionPolicy()).cycles(model.config, narrow) is not None


def test_names_are_unique():
    candidate = Candidate(name="mx6", about="")
    assert renamed(candidate, ["mx4"]).name == "mx6"
    assert renamed(candidate, ["mx6", "mx6-2"]).name == "mx6-3"
