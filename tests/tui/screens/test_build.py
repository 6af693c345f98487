"""The Build screen, driven by keys alone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from tests.tui.screens.trained import until
from tuilab.experiment.draft import Draft
from tuilab.experiment.load import load_experiment
from tuilab.tui.app import Lab
from tuilab.tui.forms.form import FieldInput, FormLines
from tuilab.tui.forms.lines import Lines
from tuilab.tui.forms.pick import PickScreen
from tuilab.tui.screens import build, build_timing
from tuilab.tui.screens.build import BuildScreen
from tuilab.tui.screens.build_dialogs import AskScreen, FileScreen
from tuilab.tui.screens.build_settings import SettingLines
from tuilab.tui.screens.build_stack import StackLines
from tuilab.tui.widgets.key_bar import KeyBar

pytestmark = pytest.mark.asyncio

COMMENTED = """\
# My network.
name = "mine"

[data]
dataset = "digits" # small

[[layers]]
type = "dense"
units = 16 # few
activation = "relu"

[[layers]]
type = "dense"
units = 10
activation = "softmax"

[training]
loss = "categorical_crossentropy"
"""


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that the lab remembers lies in a folder of its own; files are saved there as well."""
    monkeypatch.setenv("TUILAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TUILAB_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Driver:
    """The lab under the hands of a test."""

    def __init__(self, app: Lab, pilot: Pilot[str]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Put a text in where the focus is, all at once."""
        self.app.post_message(events.Paste(text))
        await self.pilot.pause()

    async def pick(self, words: str) -> None:
        """Search in the list that is open, and take the first that is found."""
        assert isinstance(self.app.screen, PickScreen)
        await self.type(words)
        await self.press("enter")

    @property
    def screen(self) -> BuildScreen:
        assert isinstance(self.app.screen, BuildScreen)
        return self.app.screen

    @property
    def draft(self) -> Draft:
        return self.app.session.draft

    @property
    def layers(self) -> list[str]:
        return [row.settings for row in self.draft.rows]

    @property
    def form(self) -> FormLines:
        return self.screen.query_one(FormLines)

    @property
    def stack(self) -> StackLines:
        return self.screen.query_one(StackLines)

    def text(self, widget: type[Lines]) -> str:
        """What a list shows."""
        lines = self.screen.query_one(widget)
        return "\n".join("".join(text for text, _ in line) for line in lines.lines)

    def totals(self) -> str:
        return str(self.screen.query_one("#totals").render())

    def field(self) -> str:
        field = self.form.field
        assert field is not None
        return field.name


@asynccontextmanager
async def lab(draft: Draft | str = "digits-mlp", size: tuple[int, int] = (80, 24)) -> AsyncIterator[Driver]:
    app = Lab(draft if isinstance(draft, Draft) else Draft.open(draft), Path("runs"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Driver(app, pilot)


def commented(folder: Path) -> Draft:
    (folder / "mine.toml").write_text(COMMENTED)
    return Draft.open(folder / "mine.toml")


async def test_a_network_for_digits_from_nothing(folders: Path) -> None:
    async with lab() as driver:
        await driver.press("n")
        assert driver.layers == []
        assert "first layer" in driver.totals()
        await driver.press("a")
        await driver.pick("dense")
        await driver.press("a")
        await driver.pick("drop")
        await driver.press("a")
        await driver.pick("fully connected")
        assert driver.layers == ["dense 32 relu", "dropout 0.2", "dense 32 relu"]
        # what is wrong with the output is said, and one key leads there
        assert "softmax" in driver.totals()
        await driver.press("enter")
        assert driver.field() == "activation"
        await driver.press("enter")
        await driver.pick("softmax")
        assert "set units = 10" in driver.totals()
        await driver.press("escape", "enter")
        assert driver.field() == "units"
        await driver.press("enter")
        await driver.type("10")
        await driver.press("enter")
        assert driver.draft.problems == []
        assert "2,410 params" in driver.totals()
        # the name, then the file
        await driver.press("W")
        await driver.type("net")
        assert not driver.draft.path


async def test_saving_and_opening_again_keeps_comments(folders: Path) -> None:
    async with lab(commented(folders)) as driver:
        await driver.press("enter")
        assert driver.field() == "units"
        await driver.press("enter")
        await driver.type("24")
        await driver.press("enter", "escape", "w")
        assert (folders / "mine.toml").read_text() == COMMENTED.replace("16 # few", "24 # few")
        assert not driver.draft.modified
        await driver.press("l")
        await driver.pick("xor-mlp")
        assert driver.draft.name == "xor-mlp"
        await driver.press("o")
        await driver.type("mine.toml")
        await driver.press("enter")
        assert "# My network." in driver.draft.text
        assert driver.layers[0] == "dense 24 relu"
        await driver.press("W")
        await driver.press("ctrl+u")
        await driver.type("copy")
        await driver.press("enter")
        assert (folders / "copy.toml").read_text() == driver.draft.text
        assert driver.draft.path == Path("copy.toml")


async def test_breaking_and_mending() -> None:
    async with lab() as driver:
        await driver.press("a")
        await driver.pick("reshape")
        await driver.press("enter", "enter")
        await driver.type("[5, 5]")
        await driver.press("enter")
        assert driver.draft.rows[1].output_shape is None
        assert "!" in driver.text(StackLines)
        assert "reshape" in driver.totals()
        assert driver.draft.rows[2].output_shape is None
        # the rest stays editable
        await driver.press("escape", "up", "enter", "enter")
        await driver.type("64")
        await driver.press("enter")
        assert driver.draft.document["layers"][0]["units"] == 64
        await driver.press("escape", "down", "d")
        assert driver.draft.problems == []
        assert [row.output_shape for row in driver.draft.rows] == [(64,), (64,), (10,)]


async def test_undo_and_redo() -> None:
    async with lab() as driver:
        before = driver.draft.text
        await driver.press("d", "D", "J", "x", "v")
        after = driver.draft.text
        assert after != before
        await driver.press(*"uuuuuuuu")
        assert driver.draft.text == before
        await driver.press("U", "ctrl+r", "U", "ctrl+r", "U", "U")
        assert driver.draft.text == after
        await driver.press("R")
        assert driver.draft.text == before
        await driver.press("u")
        assert driver.draft.text == after


async def test_every_action_on_layers() -> None:
    async with lab() as driver:
        one, two, three = driver.layers
        await driver.press("J")
        assert driver.layers == [two, one, three]
        await driver.press("J", "K", "K", "K")
        assert driver.layers == [one, two, three]
        await driver.press("D")
        assert driver.layers == [one, one, two, three]
        assert driver.stack.index == 1
        await driver.press("d")
        assert driver.layers == [one, two, three]
        await driver.press("x")
        assert driver.layers == [one, three]
        await driver.press("v")
        assert driver.layers == [one, three, two]
        await driver.press("home", "down", "shift+down", "c", "end", "v")
        assert driver.layers == [one, three, two, one, three]
        await driver.press("i")
        await driver.pick("flatten")
        assert driver.layers == [one, three, two, "flatten", one, three]
        await driver.press("r")
        await driver.press("backspace")
        await driver.type("4")
        await driver.press("enter")
        assert driver.layers == [one, three, two, *["flatten"] * 4, one, three]
        assert list(driver.stack.chosen_layers) == [3, 4, 5, 6]
        await driver.press("d")
        assert driver.layers == [one, three, two, one, three]
        await driver.press("home", "down", "m", "down", "down", "d")
        assert driver.layers == [one, three]


async def test_a_form_takes_numbers_choices_switches_and_nested_blocks() -> None:
    async with lab() as driver:
        await driver.press("enter", "down", "enter")
        await driver.pick("leaky")
        assert driver.layers[0] == "dense 128 leaky_relu he_normal"
        await driver.press("down")  # its setting has unfolded
        assert driver.field() == "negative_slope"
        await driver.press("enter")
        await driver.type("0.3")
        await driver.press("tab")  # applies and goes on
        assert driver.draft.document["layers"][0]["activation"] == {"type": "leaky_relu", "negative_slope": 0.3}
        assert driver.field() == "use_bias"
        await driver.press("space")
        assert driver.draft.document["layers"][0]["use_bias"] is False
        await driver.press("delete")
        assert "use_bias" not in driver.draft.document["layers"][0]
        await driver.press("up", "enter")
        await driver.type("9")
        await driver.press("escape")  # takes back
        assert driver.draft.document["layers"][0]["activation"]["negative_slope"] == 0.3
        await driver.press("left", "left")  # folds
        assert driver.field() == "activation"


async def test_invalid_text_is_kept_and_marked() -> None:
    async with lab() as driver:
        await driver.press("enter", "enter")
        await driver.type("many")
        await driver.press("enter")
        assert 'must be an integer, got "many"' in " ".join(driver.text(FormLines).split())
        assert "many" in driver.form.lines[1][1][0] or "many" in driver.text(FormLines)
        await driver.press("enter")
        assert driver.screen.query_one(FieldInput).value == "many"
        await driver.type("64")
        await driver.press("enter")
        assert driver.draft.problems == []


async def test_training_and_data_in_the_same_forms() -> None:
    async with lab() as driver:
        await driver.press("tab")
        assert isinstance(driver.screen.focused, SettingLines)
        await driver.press("down", "enter")
        assert driver.field() == "optimizer"
        await driver.press("enter")
        await driver.pick("rmsprop")
        assert driver.draft.document["training"]["optimizer"] == {"type": "rmsprop", "learning_rate": 0.002}
        await driver.press("down")
        assert driver.field() == "learning_rate"
        await driver.press("enter")
        await driver.type("0.01")
        await driver.press("enter")
        assert driver.draft.document["training"]["optimizer"] == {"type": "rmsprop", "learning_rate": 0.01}
        await driver.press("space")
        await driver.pick("cosine")
        rate = driver.draft.document["training"]["optimizer"]["learning_rate"]
        assert rate == {"type": "cosine_decay", "initial_learning_rate": 0.01}
        # one line holds three settings
        await driver.press("escape", "home", "down", "down", "right", "enter")
        assert driver.field() == "batch_size"
        await driver.press("enter")
        await driver.type("64")
        await driver.press("enter")
        assert driver.draft.document["data"]["batch_size"] == 64
        await driver.press("tab", "tab", "down", "enter")
        assert driver.field() == "early_stopping"
        await driver.press("space")
        assert driver.draft.document["training"]["early_stopping"] == {}
        await driver.press("down", "down")
        assert driver.field() == "patience"
        await driver.press("enter")
        await driver.type("5")
        await driver.press("enter")
        assert "patience 5" in driver.text(SettingLines)
        assert driver.draft.problems == []


async def test_metrics_are_a_list() -> None:
    async with lab() as driver:
        await driver.press("tab", "down", "down", "down", "down", "down", "enter")
        assert driver.field() == "metrics"
        await driver.press("enter", "down", "down", "enter")
        await driver.pick("f1")
        assert driver.draft.document["training"]["metrics"] == ["accuracy", "f1"]
        await driver.press("delete")
        assert driver.draft.document["training"]["metrics"] == ["accuracy"]


async def test_all_layers_at_once() -> None:
    async with lab("vanishing-sigmoid") as driver:
        await driver.press("A")
        await driver.pick("sigmoid")
        await driver.pick("relu")
        assert driver.layers == ["dense 64 relu"] * 8 + ["dense 10 softmax"]
        await driver.press("A")
        await driver.pick("kernel_regularizer")
        await driver.pick("l2")
        assert all(layer["kernel_regularizer"] == "l2" for layer in driver.draft.document["layers"])
        await driver.press("u", "u")
        assert not driver.draft.modified


async def test_one_penalty_on_all_kernels() -> None:
    async with lab() as driver:
        await driver.press("tab", "down", "down", "down", "down", "enter")
        await driver.pick("l2")
        assert "l2 in 3 of 3 layers" in driver.text(SettingLines)
        await driver.press("enter")
        await driver.pick("none")
        assert not any("kernel_regularizer" in layer for layer in driver.draft.document["layers"])


async def test_the_type_of_a_layer_can_be_changed() -> None:
    async with lab() as driver:
        await driver.press("enter", "up")
        assert driver.field() == "type"
        await driver.press("enter")
        await driver.pick("batch")
        assert driver.draft.rows[0].type == "batch_normalization"


async def test_the_cursor_of_the_form_stays_on_its_field() -> None:
    async with lab() as driver:
        await driver.press("enter", "down", "down", "down")
        assert driver.field() == "kernel_initializer"
        await driver.press("escape", "down", "enter")
        assert driver.field() == "kernel_initializer"


async def test_keys_for_layers_do_nothing_in_the_form_of_the_training() -> None:
    async with lab() as driver:
        await driver.press("tab", "enter", "d", "x", "J")
        assert not driver.draft.modified
        await driver.press("escape", "escape", "d")
        assert len(driver.layers) == 2


async def test_unsaved_changes_are_asked_for(folders: Path) -> None:
    async with lab(commented(folders)) as driver:
        await driver.press("d", "n")
        assert isinstance(driver.app.screen, AskScreen)
        await driver.press("escape")
        assert len(driver.layers) == 1
        await driver.press("l", "down", "enter")  # throws them away
        await driver.press("escape")  # but takes none
        assert len(driver.layers) == 1
        await driver.press("l", "enter")  # saves them
        await driver.pick("xor-mlp")
        assert driver.draft.name == "xor-mlp"
        assert "# few" not in (folders / "mine.toml").read_text()


async def test_what_was_to_come_comes_after_saving_under_a_new_name(folders: Path) -> None:
    async with lab() as driver:
        await driver.press("d", "l", "enter")
        assert isinstance(driver.app.screen, FileScreen)
        (folders / "taken.toml").write_text("# theirs")
        await driver.press("ctrl+u")
        await driver.type("taken.toml")
        await driver.press("enter", "down", "enter", "ctrl+u")  # under another name
        await driver.type("other")
        await driver.press("enter")
        await driver.pick("xor-mlp")
        assert driver.draft.name == "xor-mlp"
        assert (folders / "taken.toml").read_text() == "# theirs"
        assert "digits-mlp" in (folders / "other.toml").read_text()


async def test_a_search_that_finds_nothing_says_so() -> None:
    async with lab() as driver:
        before = driver.layers
        await driver.press("a")
        await driver.type("no such layer")
        assert driver.app.screen.query_one(".dialog").border_subtitle == "nothing fits"
        await driver.press("enter")
        assert isinstance(driver.app.screen, PickScreen)
        await driver.press("ctrl+u")
        assert not driver.app.screen.query_one(".dialog").border_subtitle
        await driver.press("escape")
        assert driver.layers == before


async def test_a_file_that_somebody_else_has_changed_is_not_overwritten(folders: Path) -> None:
    async with lab(commented(folders)) as driver:
        await driver.press("d")
        (folders / "mine.toml").write_text("# theirs")
        await driver.press("w")
        assert isinstance(driver.app.screen, AskScreen)
        await driver.press("escape")
        assert (folders / "mine.toml").read_text() == "# theirs"
        await driver.press("w", "enter")
        assert (folders / "mine.toml").read_text() == driver.draft.text


async def test_unsaved_changes_outlive_the_lab(folders: Path) -> None:
    async with lab(commented(folders)) as driver:
        await driver.press("d")
        await until(driver.pilot, lambda: any((folders / "state" / "unsaved").glob("*")))
        driver.draft.leave()  # as the end of the program does
    async with lab() as driver:
        await driver.pilot.pause()
        assert isinstance(driver.app.screen, AskScreen)
        await driver.press("enter")
        assert driver.draft.path == folders / "mine.toml"
        assert len(driver.layers) == 1
        await driver.press("u")
        assert driver.draft.text == COMMENTED
        await driver.press("U", "w")
    assert list((folders / "state" / "unsaved").iterdir()) == []


async def test_another_draft_does_not_push_unsaved_changes_out(folders: Path) -> None:
    async with lab(commented(folders)) as driver:
        await driver.press("d", "3")
        driver.app.edit(Draft.open("iris-8-8-3"))
        await driver.pilot.pause()
        assert isinstance(driver.app.screen, AskScreen)
        await driver.press("down", "enter")
        assert driver.draft.name == "mine"
        assert len(driver.layers) == 1


async def test_what_cannot_be_trained_is_said_where_it_is() -> None:
    async with lab() as driver:
        await driver.press("end", "enter", "enter")
        await driver.type("11")
        await driver.press("enter", "escape", "home", "t")
        assert isinstance(driver.app.screen, BuildScreen)
        assert driver.stack.index == 2
        assert driver.field() == "units"


PATIENT = """
import sys
sys.path.append(sys.argv[1])
from tuilab.tui.screens import build_timing
build_timing.NICENESS, build_timing.PATIENCE = 0, 600.0
build_timing.main()
"""
"""A measurement that other tests cannot keep from the processor."""


async def test_the_time_of_an_epoch_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_timing, "PROGRAM", PATIENT)
    monkeypatch.setattr(build_timing, "PATIENCE", 600.0)
    async with lab() as driver:
        await driver.pilot.pause()
        assert "measuring…" in driver.totals()
        await until(driver.pilot, lambda: "an epoch" in driver.totals())
        assert "≈" in driver.totals()
        monkeypatch.setattr(build, "SECONDS_BEFORE_MEASURING", 600.0)
        await driver.press("D")
        assert "measuring…" in driver.totals()


SLOW_AT_FIRST = """
import sys, time
sys.path.append(sys.argv[1])
from tuilab.engine.network import Network
from tuilab.engine.trainer import Trainer
from tuilab.tui.screens import build_timing
def slow(usual):
    known = set()
    def measured(self, x, *rest, **options):
        if len(x) not in known:
            known.add(len(x))
            time.sleep(2)
        return usual(self, x, *rest, **options)
    return measured
Trainer.train_batch, Network.measure = slow(Trainer.train_batch), slow(Network.measure)
build_timing.NICENESS, build_timing.PATIENCE, build_timing.SECONDS = 0, 600.0, """
"""A measurement of whole epochs, or of a step and the validation; batches of a size take 2 s when they first come, as
where kernels are compiled."""


@pytest.mark.parametrize("seconds", [0.4, 0.0])
async def test_what_happens_once_does_not_count(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_timing, "PROGRAM", f"{SLOW_AT_FIRST}{seconds}\nbuild_timing.main()")
    monkeypatch.setattr(build_timing, "PATIENCE", 600.0)
    text = Draft.open("digits-mlp").text
    told = build_timing.EpochTimer().measure(text, None)
    assert re.fullmatch("≈ .* [mµ]s an epoch", told), told


async def test_a_table_of_ones_own(folders: Path) -> None:
    (folders / "houses.csv").write_text("rooms,size,price\n" + "".join(f"{i},{i * i},{3 * i}\n" for i in range(40)))
    text = '[data]\npath = "houses.csv"\ntarget = "price"\n[[layers]]\ntype = "dense"\nunits = 1\n'
    (folders / "houses.toml").write_text(text + '[training]\nloss = "mean_squared_error"\n')
    async with lab(Draft.open(folders / "houses.toml")) as driver:
        await until(driver.pilot, lambda: driver.draft.totals is not None)
        assert driver.draft.input_shape == (2,)
        assert "3 params" in driver.totals()
        (folders / "houses.csv").write_text("")
        await driver.press("D")
        await until(driver.pilot, lambda: driver.draft.problems)
        assert "houses.csv" in driver.totals()


async def test_help_explains_what_has_the_cursor() -> None:
    async with lab() as driver:
        await driver.press("question_mark")
        assert "Fully connected layer" in str(driver.app.screen.query("Static").first().render())
        await driver.press("escape", "enter", "question_mark")
        assert "units: Number of outputs." in str(driver.app.screen.query("Static").first().render())


async def test_the_keys_of_the_lab_stay_in_the_key_bar() -> None:
    async with lab(size=(200, 24)) as driver:
        bar = driver.screen.query_one(KeyBar)
        assert {"add", "edit", "train", "undo", "delete", "all layers", "library"} < {
            key.description for key in bar.placed()
        }
        assert not next(key for key in bar.placed() if key.description == "undo").enabled
        await driver.press("d")
        assert next(key for key in bar.placed() if key.description == "undo").enabled
        await driver.pilot.resize_terminal(44, 24)
        await driver.pilot.pause()
        shown = [key.description for key in bar.placed()]
        assert shown[0] == "add"
        assert {"help", "more"} < set(shown)
        assert "library" not in shown


SIZES = [(120, 40), (200, 60), (64, 20), (40, 12), (20, 5), (1, 1), (80, 24)]


async def test_every_size_works() -> None:
    async with lab("vanishing-sigmoid") as driver:
        for width, height in SIZES:
            await driver.pilot.resize_terminal(width, height)
            await driver.press("down", "tab", "down", "tab", "enter", "escape", "J", "u")
            assert isinstance(driver.app.screen, BuildScreen)
        assert not driver.draft.modified


@pytest.mark.parametrize("size", [(40, 12), (20, 5)])
async def test_the_panel_with_the_focus_is_seen_on_a_small_screen(size: tuple[int, int]) -> None:
    async with lab(size=size) as driver:
        assert driver.stack.region.height >= 2
        await driver.press("tab")
        assert driver.screen.query_one(SettingLines).region.height >= 2
        await driver.press("tab")
        assert driver.form.region.height >= 2
        await driver.press("tab")
        assert driver.stack.region.height >= 2


async def test_two_hundred_layers_scroll() -> None:
    draft = Draft.open("digits-mlp")
    draft.repeat(0, 0, 198)
    async with lab(draft) as driver:
        await driver.press("end")
        assert driver.stack.index == 199
        assert driver.stack.top <= driver.stack.cursor < driver.stack.top + driver.stack.region.height
        await driver.press("pageup", "home")
        assert driver.stack.top == 0


async def test_hostile_names_are_shown_clean(folders: Path) -> None:
    text = COMMENTED
    for word in ("mine", "dense", "softmax", "digits", "categorical_crossentropy"):
        text = text.replace(f'"{word}"', '"a\\u001b[31m[bold]名前\\u0007\\u202e"')
    async with lab(Draft.from_text(text)) as driver:
        for _ in range(3):
            shown = driver.text(StackLines) + driver.text(FormLines) + driver.totals() + driver.text(SettingLines)
            assert "名前" in shown
            assert not {"\x1b", "\x07", "\u202e"} & set(shown)
            await driver.press("down", "tab")


async def test_a_draft_that_the_library_gives_trains_as_its_file() -> None:
    async with lab() as driver:
        await driver.press("l")
        await driver.pick("iris")
        assert driver.draft.checked() == load_experiment("iris-8-8-3")


# Layers inside layers

BLOCKS = """\
name = "blocks"
[data]
dataset = "digits"

# wide
[[layers]]
type = "repeat"
name = "block1"
times = 2

[[layers.layers]]
type = "dense"
units = 64 # inside
activation = "relu"

[[layers.layers]]
type = "dropout"
rate = 0.1

[[layers]]
type = "residual"
projection = [{ type = "dense", units = 64 }]

[[layers.layers]]
type = "dense"
units = 64

[[layers]]
type = "dense"
units = 10
activation = "softmax"

[training]
loss = "categorical_crossentropy"
"""


def tree(driver: Driver) -> list[str]:
    return [f"{row.number} {row.settings}" for row in driver.draft.rows]


async def test_layers_inside_others_are_indented(folders: Path) -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        shown = [" ".join(line.split()) for line in driver.text(StackLines).splitlines()[1:]]
        assert shown == [
            "1 block1 ×2 64 8,320",
            "├ dense relu 64 4,160",
            "└ dropout 0.1 64",
            "2 residual 64 8,320",
            "├ dense 64 4,160",
            "└ proj. dense 64 4,160",
            "3 dense softmax 10 650",
        ]
        assert "17,290 params" in driver.totals()
        await driver.pilot.resize_terminal(120, 40)
        await driver.pilot.pause()
        assert "1.2  └ dropout 0.1" in driver.text(StackLines)
        assert "2.2  └ projection dense" in driver.text(StackLines)


async def test_every_action_on_layers_inside_others() -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        before = driver.draft.text
        await driver.press("down", "J")
        assert tree(driver)[:3] == ["1 repeat ×2", "1.1 dropout 0.1", "1.2 dense 64 relu"]
        assert driver.stack.index == 2
        await driver.press("J", "K", "K")
        assert tree(driver)[1:3] == ["1.1 dense 64 relu", "1.2 dropout 0.1"]
        await driver.press("D")
        assert tree(driver)[1:4] == ["1.1 dense 64 relu", "1.2 dense 64 relu", "1.3 dropout 0.1"]
        assert driver.stack.index == 2
        await driver.press("d")
        await driver.press("home", "down", "down", "x")
        assert tree(driver)[:3] == ["1 repeat ×2", "1.1 dropout 0.1", "2 residual"]
        await driver.press("down", "down", "v")
        assert tree(driver)[2:5] == ["2 residual", "2.1 dense 64", "2.2 dense 64 relu"]
        await driver.press("c", "end", "v")
        assert tree(driver)[-1] == "4 dense 64 relu"
        await driver.press("d", "home", "down", "down", "a")
        await driver.pick("flatten")
        assert tree(driver)[1:3] == ["1.1 dropout 0.1", "1.2 flatten"]
        await driver.press("i")
        await driver.pick("prelu")
        assert tree(driver)[1:4] == ["1.1 dropout 0.1", "1.2 prelu", "1.3 flatten"]
        await driver.press("shift+down", "r", "backspace")
        await driver.type("2")
        await driver.press("enter")
        assert tree(driver)[2:6] == ["1.2 prelu", "1.3 flatten", "1.4 prelu", "1.5 flatten"]
        await driver.press("home", "down", "a")  # below the group, not in it
        await driver.pick("dropout")
        assert tree(driver)[6] == "2 dropout 0.2"
        await driver.press(*"u" * 12)
        assert driver.draft.text == before


async def test_a_choice_that_leaves_a_layer_takes_the_whole_of_it() -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        await driver.press("home", "down", "down", "down", "shift+down")
        assert list(driver.stack.chosen_layers) == [0, 1, 2, 3, 4, 5]
        await driver.press("d")
        assert tree(driver) == ["1 dense 10 softmax"]


async def test_layers_go_into_a_group_and_out_of_it() -> None:
    async with lab() as driver:
        await driver.press("shift+down", "greater_than_sign")
        await driver.pick("repeat")
        assert tree(driver)[:3] == ["1 repeat ×2", "1.1 dense 128 relu he_normal", "1.2 dense 64 relu he_normal"]
        assert driver.stack.index == 0
        assert driver.stack.other_end is None
        await driver.press("enter")
        for _ in range(3):
            if driver.field() == "times":
                break
            await driver.press("down")
        await driver.press("enter")
        await driver.type("3")
        await driver.press("enter", "escape")
        assert tree(driver)[0] == "1 repeat ×3"
        await driver.press("down", "greater_than_sign")
        await driver.pick("residual")
        assert tree(driver)[:3] == ["1 repeat ×3", "1.1 residual", "1.1.1 dense 128 relu he_normal"]
        await driver.press("less_than_sign")
        assert tree(driver)[1] == "1.1 dense 128 relu he_normal"
        await driver.press("less_than_sign")  # beside others: what is around them
        assert driver.layers[:6] == ["dense 128 relu he_normal", "dense 64 relu he_normal"] * 3
        await driver.press(*"uuuuu")
        assert not driver.draft.modified


async def test_the_form_of_a_layer_inside_another() -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        await driver.press("down", "enter")
        assert driver.field() == "units"
        await driver.press("enter")
        await driver.type("32")
        await driver.press("tab", "enter")
        await driver.pick("tanh")
        assert "units = 32 # inside" in driver.draft.text
        assert driver.draft.document["layers"][0]["layers"][0]["activation"] == "tanh"
        await driver.press("home", "enter")
        await driver.pick("batch")
        assert driver.draft.rows[1].type == "batch_normalization"


async def test_a_projection_is_put_in_and_taken_out_by_the_form() -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        await driver.press("down", "down", "down", "enter")
        while driver.field() != "projection":
            await driver.press("down")
        await driver.press("delete")
        assert tree(driver)[3:5] == ["2 residual", "2.1 dense 64"]
        await driver.press("enter")
        await driver.pick("dropout")
        assert tree(driver)[5] == "2.2 dropout 0.2"
        assert driver.stack.index == 5


async def test_a_group_that_is_empty_is_filled_again() -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        await driver.press("down", "shift+down", "d")
        assert tree(driver)[:2] == ["1 repeat", "2 residual"]
        assert "layer 1 layers: is missing" in driver.totals()
        await driver.press("home", "down", "a")
        await driver.pick("dense")
        assert tree(driver)[1] == "1.1 dense 32 relu"


async def test_what_is_wrong_inside_is_said_where_it_is() -> None:
    async with lab(Draft.from_text(BLOCKS)) as driver:
        driver.draft.set("layers[1].layers[0].units", 60)
        driver.draft.set("layers[0].layers[1].rate", 2)
        driver.screen.show_draft()
        await driver.press("home", "t")
        assert driver.stack.index == 2
        assert driver.field() == "rate"
        assert "layer 1.2: rate" in driver.totals()
        await driver.press("escape", "u", "home", "t")
        assert driver.stack.index == 3
        assert "layer 2: " in driver.totals()


async def test_a_hostile_depth_is_shown() -> None:
    layer = '{ type = "dense", units = 10, activation = "softmax" }'
    for _ in range(7):
        layer = f'{{ type = "repeat", name = "deep", layers = [{layer}] }}'
    text = BLOCKS[: BLOCKS.index("# wide")] + f"layers = [{layer}, {layer}]\n" + BLOCKS[BLOCKS.index("[training]") :]
    text = text.replace("layers = [", '[[layers]]\ntype = "residual"\nlayers = [', 1)
    async with lab(Draft.from_text(text)) as driver:
        assert "9 deep, at most 8" in " ".join(driver.totals().split())
        for width, height in SIZES:
            await driver.pilot.resize_terminal(width, height)
            await driver.press("end", "shift+up", "J", "x", "d", "less_than_sign", "greater_than_sign", "escape")
            assert isinstance(driver.app.screen, BuildScreen)


async def test_layers_that_another_makes_are_shown_and_written_out() -> None:
    async with lab("vgg16") as driver:
        assert tree(driver)[:3] == ["1 vgg16", "1.1 repeat", "1.1.1 conv2d 64 (3, 3) same relu"]
        await driver.press("down", "down")
        said = " ".join(str(driver.screen.query_one("#field").render()).split())
        assert "224×224×3 → 224×224×64, 1,792 parameters. Made by vgg16" in said
        # nothing changes it: neither in the stack nor in the form
        await driver.press("d", "x", "c", "D", "J", "a", "i", "enter")
        assert isinstance(driver.app.screen, BuildScreen)
        assert (driver.field(), driver.screen.focused) == ("filters", driver.form)
        await driver.press("enter", "space", "delete", "down", "down", "down", "enter", "space")
        assert isinstance(driver.app.screen, BuildScreen)
        assert not driver.draft.modified
        # the rest of its settings can be looked at
        await driver.press("end", "enter")
        assert "trainable" in driver.text(FormLines)
        await driver.press("escape", "less_than_sign")
        assert len(driver.draft.document["layers"]) == 9
        assert not driver.draft.problems
        await driver.press("home", "down", "down", "enter", "enter")
        await driver.type("32")
        await driver.press("enter")
        assert driver.draft.document["layers"][0]["layers"][0]["filters"] == 32
