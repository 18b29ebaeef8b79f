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
