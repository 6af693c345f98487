"""Tests of what stands under the form of a layer."""

from __future__ import annotations

import asyncio

from textual.app import App

from tuilab.blocks.activations import Activation
from tuilab.tui.screens.build_about import About
from tuilab.tui.screens.build_curve import curve_of


def test_a_curve_that_comes_after_the_lab_has_begun_to_close_is_left_out() -> None:
    relu = Activation.choose("relu")

    async def use() -> None:
        async with App[None]().run_test():
            closing = About()
            closing._activation = relu
            closing.on_about_drawn(About.Drawn(relu, curve_of(relu)))
            assert not closing.children

    asyncio.run(use())
