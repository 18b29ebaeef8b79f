"""Says in the summary what was not run, so that a missing tool is never silent."""

import os

import pytest
from hypothesis import HealthCheck, settings

# How fast inputs are made says how busy the machine is, nothing about the tests.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy")

# Before anything imports NumPy: tests run on all cores already, and small products are slower with more threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

NOT_RUN = "NOT RUN: "


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the reasons of all tests that were skipped because something is missing, with their numbers."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_RUN in text:
            reason = text[text.index(NOT_RUN) :]
            reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("NOT RUN", sep="!", red=True, bold=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{reason} ({count} tests)", red=True)
