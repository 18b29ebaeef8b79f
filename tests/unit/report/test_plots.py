"""The plots are well-formed SVG that refers to nothing outside and does not change from run to run."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from mixdit_hw.report import plots

IMAGES = {"float32": np.zeros((2, 1, 4, 4), np.float32), "mx6": np.ones((2, 1, 4, 4), np.float32)}

PLOTS: list[Callable[[], str]] = [
    lambda: plots.image_grid(IMAGES),
    lambda: plots.grouped_bars(["first", "second"], {"mx6": [1.0, 2.5], "mx9": [3.0, 4.0]}, ylabel="dB"),
    lambda: plots.channel_peaks(np.arange(8.0), [7]),
    lambda: plots.stacked_bars(
        ["q", "fc1"],
        {"busy": [60.0, 90.0], "idle": [40.0, 10.0], "never": [0.0, 0.0]},
        xlabel="% of cycles",
        colours={"busy": "#228833", "idle": "#bbbbbb", "never": "#000000"},
    ),
]


@pytest.mark.parametrize("plot", PLOTS)
def test_svg(plot):
    svg = plot()
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    for element in root.iter():
        for key, value in element.attrib.items():
            if key.endswith("href"):
                assert value.startswith(("#", "data:")), f"{element.tag} refers to {value}"
    assert plot() == svg


def test_bars_show_names_and_values():
    svg = PLOTS[1]()
    for text in ("first", "second", "mx6", "mx9", "2.5", "dB"):
        assert f">{text}<" in svg


def test_parts_that_are_zero_are_left_out():
    svg = PLOTS[3]()
    for text in ("q", "fc1", "busy", "idle", "% of cycles"):
        assert f">{text}<" in svg
    assert "never" not in svg
