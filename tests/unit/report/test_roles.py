"""Roles of traces, and the colours that stand for them."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cbdata.report.page import ASSETS
from cbdata.report.roles import common_role, group_legend, role_bar, role_legend, role_of
from tests.records import make_trace, message


@pytest.mark.parametrize(
    ("labels", "generated", "role"),
    [
        ({"category": "harmful"}, False, "ds"),
        ({"category": "harmful"}, True, "ds"),
        ({"exposed": True}, False, "dr"),
        ({"exposed": False}, False, "unseen"),
        # The prompt of a DR may be without the injection.
        ({"exposed": False}, True, "dr"),
        ({"attack_present": False, "exposed": False}, False, "retain"),
        ({"attack_present": False, "exposed": False}, True, "retain"),
    ],
)
def test_roles(labels: dict[str, Any], generated: bool, role: str) -> None:
    trace = make_trace([message("user", "x"), message("assistant", "y")])
    trace["labels"] |= labels
    if generated:
        trace["raw_metadata"]["generation"] = {"attempt": 1}
    assert role_of(trace) == role


def test_a_group_has_the_colour_that_all_its_traces_have() -> None:
    assert common_role(Counter(dr=3, ds=0)) == "dr"
    assert common_role(Counter(dr=3, ds=1)) == "neutral"
    assert common_role(Counter()) == "neutral"
    legend = group_legend([Counter(dr=3), Counter(ds=1, dr=2), Counter(ds=1)])
    assert [colour for colour, _ in legend] == ["ds", "dr", "neutral"]


def test_bars_and_legends_hold_the_roles_that_are_there() -> None:
    bar = role_bar(Counter(retain=1, ds=3), 4)
    assert [(part.colour, part.share) for part in bar.segments] == [("ds", 0.75), ("retain", 0.25)]
    legend = role_legend([Counter(retain=1), Counter(dr=1, retain=4)])
    assert [colour for colour, _ in legend] == ["dr", "retain"]


# Machado, Oliveira and Fernandes 2009, severity 1: what linear RGB becomes for people who lack one
# kind of cone.
SIGHT = {
    "trichromat": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# Ottosson 2020: linear RGB to the cones of OKLab, and their cube roots to its coordinates.
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
OKLAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]
TOGETHER = [
    *combinations(("ds", "dr", "unseen", "retain"), 2),
    *((role, "rest") for role in ("ds", "dr", "unseen", "retain")),
    ("neutral", "ds"),
    ("neutral", "dr"),
    ("neutral", "cut"),
]


def linear(colour: str) -> NDArray[Any]:
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def palettes() -> list[dict[str, str]]:
    """The colours of the light theme, which paper has too, and of the dark one."""
    style = (ASSETS / "figures.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks]


def test_both_themes_have_every_colour() -> None:
    light, dark = palettes()
    assert light.keys() == dark.keys()


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("sight", SIGHT)
def test_colours_of_one_figure_differ_for_every_eye(theme: int, sight: str) -> None:
    colours = palettes()[theme]

    def seen(name: str) -> NDArray[Any]:
        light = np.clip(np.array(SIGHT[sight]) @ linear(colours[name]), 0, 1)
        return np.array(OKLAB) @ np.cbrt(np.array(CONES) @ light)

    near = [
        (first, second, round(float(np.linalg.norm(seen(first) - seen(second))), 3))
        for first, second in TOGETHER
        if np.linalg.norm(seen(first) - seen(second)) < 0.1
    ]
    assert near == []
