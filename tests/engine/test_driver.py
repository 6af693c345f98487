"""The driver's answers through the real ctypes code: a library of our own says what a driver would say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nvidia.fake import Nvidia
from tuilab.engine.driver import version

ASK = """
import json
from tuilab.engine.driver import ask_driver
driver = ask_driver()
cards = [[card.number, card.name, card.bus] for card in driver.cards]
print(json.dumps([driver.installed, driver.cuda_version, driver.trouble, cards]))
"""
FIRST, SECOND, THIRD = (
    ["Great Card 0", "0000:03:00.0"],
    ["Great Card 1", "0000:13:00.0"],
    ["Great Card 2", "0000:23:00.0"],
)


@pytest.mark.parametrize(
    ("settings", "cards"),
    [
        ({}, [FIRST]),
        ({"FAKE_GPUS": 3}, [FIRST, SECOND, THIRD]),
        ({"FAKE_GPUS": 3, "CUDA_VISIBLE_DEVICES": "2,0"}, [THIRD, FIRST]),
    ],
)
def test_cards_are_those_that_cuda_shows(nvidia: Nvidia, settings: dict[str, Any], cards: list[list[str]]) -> None:
    numbered = [[number, *card] for number, card in enumerate(cards)]
    assert nvidia.ask(ASK, **settings) == [True, "13.0", "", numbered]


@pytest.mark.parametrize(
    ("settings", "trouble"),
    [
        ({"FAKE_GPUS": 0}, "the NVIDIA driver finds no GPU"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "the NVIDIA driver shows no GPU, with CUDA_VISIBLE_DEVICES=''"),
        ({"CUDA_VISIBLE_DEVICES": "7"}, "the NVIDIA driver shows no GPU, with CUDA_VISIBLE_DEVICES='7'"),
        ({"FAKE_CUINIT": 999}, "the NVIDIA driver does not work: cuInit says CUDA_ERROR_UNKNOWN"),
        ({"FAKE_CUINIT": 12345}, "the NVIDIA driver does not work: cuInit says 12345"),
    ],
)
def test_a_driver_that_shows_nothing(nvidia: Nvidia, settings: dict[str, Any], trouble: str) -> None:
    assert nvidia.ask(ASK, FAKE_CUDA=12020, **settings) == [True, "12.2", trouble, []]


def test_no_driver(nvidia: Nvidia) -> None:
    trouble = "no NVIDIA driver is installed (libnowhere.so.1 is not there)"
    nowhere = "from tuilab.engine import driver; driver.LIBRARY = 'libnowhere.so.1'"
    assert nvidia.ask(nowhere + ASK) == [False, "0.0", trouble, []]


def test_versions() -> None:
    assert [version(number) for number in (13000, 12080, 11040)] == ["13.0", "12.8", "11.4"]
