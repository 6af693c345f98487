"""The fields of forms, for every block and every text that can be typed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.experiment.experiments import experiments
from tuilab.blocks.layers import Layer
from tuilab.errors import UsageError
from tuilab.experiment.draft import Draft
from tuilab.experiment.edits import settings_model
from tuilab.experiment.problems import Location
from tuilab.experiment.save import to_toml
from tuilab.experiment.sections import value_at
from tuilab.tui.forms.fields import (
    Choice,
    Field,
    choices_of,
    edited_text,
    explanation,
    fields_of,
    value_of,
)
from tuilab.tui.forms.pick import found
from tuilab.tui.forms.prose import flowing

FORMS: list[Location] = [(), ("data",), ("training",)]


def field(draft: Draft, location: Location, name: str, opened: set[Location] | None = None) -> Field:
    fields = fields_of(draft.document, location, draft.problems, opened or set())
    return next(field for field in fields if field.name == name)


@pytest.mark.parametrize(
    ("location", "name", "kind", "value"),
    [
        (("layers", 0), "type", "block", "dense"),
        (("layers", 0), "units", "number", "512"),
        (("layers", 0), "activation", "block", "relu"),
        (("layers", 0), "use_bias", "switch", "yes"),
        (("layers", 0), "kernel_regularizer", "block", "none"),
        (("training",), "loss", "block", "categorical_crossentropy"),
        (("training",), "optimizer", "block", "adam cosine_decay"),
        (("training",), "metrics", "blocks", "accuracy"),
        (("training",), "early_stopping", "table", "none"),
        (("training",), "class_weight", "value", "none"),
        (("training",), "dtype", "choice", "float32"),
        (("data",), "dataset", "block", "mnist"),
        (("data",), "validation_split", "number", "0.1"),
        (("data",), "flatten", "switch", "none"),
        (("data",), "target", "value", "none"),
        ((), "name", "text", "mnist-mlp"),
        ((), "seed", "number", "7"),
    ],
)
def test_fields_are_made_from_the_declaration(location: Location, name: str, kind: str, value: str) -> None:
    shown = field(Draft.open("mnist-mlp"), location, name)
    assert (shown.kind, shown.value) == (kind, value)


def test_sections_with_forms_of_their_own_are_no_fields_of_the_experiment() -> None:
    names = [field.name for field in fields_of(Draft.open("mnist-mlp").document, ())]
    assert names == ["seed", "name", "description"]


def test_an_unfolded_block_shows_its_settings_below() -> None:
    draft = Draft.open("mnist-mlp")
    rate = ("training", "optimizer", "learning_rate")
    fields = fields_of(draft.document, ("training",), (), {("training", "optimizer"), rate})
    names = [(field.depth, field.name) for field in fields]
    at = names.index((0, "optimizer"))
    assert names[at + 1 : at + 3] == [(1, "learning_rate"), (2, "initial_learning_rate")]
    assert field(draft, ("training",), "loss").open is False
    assert field(draft, ("training",), "epochs").open is None


def test_many_fields_leave_room_for_those_that_somebody_has_set() -> None:
    draft = Draft.open("mnist-mlp")
    draft.set("layers[0].bias_constraint", "non_neg")
    fields = fields_of(draft.document, ("layers", 0), (), (), 5)
    names = [field.name for field in fields]
    assert names == ["type", "units", "activation", "use_bias", "kernel_initializer", "bias_constraint", ""]
    assert (fields[-1].kind, fields[-1].value) == ("more", "7 more")


def test_what_is_wrong_stands_at_its_field_or_at_the_folded_one_around_it() -> None:
    draft = Draft.open("digits-mlp")
    draft.set("training.optimizer.beta_1", 2.0)
    said = "must be less than 1, got 2.0"
    assert field(draft, ("training",), "optimizer").problem == said
    opened: set[Location] = {("training", "optimizer")}
    assert field(draft, ("training",), "optimizer", opened).problem == ""
    assert field(draft, ("training",), "beta_1", opened).problem == said
    draft.set("layers[0].units", None)
    assert field(draft, ("layers", 0), "units").value == "required"
    assert "is missing" in field(draft, ("layers", 0), "units").problem


def test_settings_that_nobody_knows_can_be_seen_and_taken_out() -> None:
    draft = Draft.from_text('[[layers]]\ntype = "dense"\nunits = 3\nunitz = 4\n[[layers]]\ntype = "dens"\n')
    unknown = field(draft, ("layers", 0), "unitz")
    assert "did you mean 'units'" in unknown.problem
    draft.set(unknown.location, None)
    assert "unitz" not in draft.text
    assert "did you mean 'dense'" in field(draft, ("layers", 1), "type").problem


def test_an_explanation_has_description_bounds_and_default() -> None:
    draft = Draft.open("digits-mlp")
    assert explanation(draft.document, field(draft, ("layers", 0), "units")) == (
        "Number of outputs. (above 0, to 1,000,000)"
    )
    assert explanation(draft.document, field(draft, ("data",), "validation_split")) == (
        "Share of the training samples kept for validation. (from 0, below 1; default 0.1)"
    )
    assert explanation(draft.document, field(draft, ("training",), "optimizer")).endswith("(default adam 0.001)")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("number", "1e-3", 0.001),
        ("number", " 1,000 ", 1000),
        ("number", "many", "many"),
        ("number", "", None),
        ("rate", "0.1", 0.1),
        ("rate", "cosine_decay", "cosine_decay"),
        ("text", "12", "12"),
        ("value", "[3, 4]", [3, 4]),
        ("value", '["a", "b"]', ["a", "b"]),
        ("value", "balanced", "balanced"),
        ("value", "a.b.c.d.e.f.g.h.i = 3", "a.b.c.d.e.f.g.h.i = 3"),
    ],
)
def test_typed_text_is_a_value_or_is_kept(kind: Any, text: str, value: Any) -> None:
    assert value_of(Field(("x",), "x", kind, ""), text) == value


def all_fields(draft: Draft) -> list[Field]:
    forms = [*FORMS, *(("layers", index) for index in range(min(len(draft.rows), 2)))]
    fields: list[Field] = []
    for form in forms:
        opened: set[Location] = set()
        for _ in range(4):  # unfold whatever can be unfolded, level by level
            shown = fields_of(draft.document, form, draft.problems, opened)
            opened |= {field.location for field in shown if field.open is False}
        fields += shown
    return fields


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=15)
@given(experiments())
def test_every_value_of_every_experiment_survives_its_form(experiment: Any) -> None:
    draft = Draft.from_text(to_toml(experiment))
    for field in all_fields(draft):
        assert explanation(draft.document, field), field
        if field.kind in ("number", "text", "value") and field.written:
            written, typed = value_at(draft.document, field.location), edited_text(draft.document, field)
            if isinstance(written, str) and (typed != written or written != written.strip()):
                continue  # characters that no line of a terminal can show
            if not typed or "�" in typed:
                continue  # nothing is the default; what cannot be shown cannot be typed either
            again = value_of(field, typed)
            assert again == written
        if field.kind in ("choice", "block", "rate", "add"):
            names = [choice.name for choice in choices_of(draft.document, field.location)]
            assert names
            if field.kind == "choice":
                assert field.value in names or field.optional


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=15)
@given(experiments(), st.data())
def test_nothing_that_is_typed_is_a_crash_or_lost(experiment: Any, data: st.DataObject) -> None:
    draft = Draft.from_text(to_toml(experiment))
    typed = [field for field in all_fields(draft) if field.kind in ("number", "rate", "value")]
    field = data.draw(st.sampled_from(typed))
    text = data.draw(st.text(max_size=30) | st.sampled_from(["1e999", "nan", "-1", "[", "{ a = 1 }", "0x", "١"]))
    value = value_of(field, text)
    try:
        draft.set(field.location, value)
    except UsageError:
        return
    for shown in all_fields(draft):
        if shown.location == field.location and isinstance(value, str) and text.isprintable():
            assert edited_text(draft.document, shown) == value


def test_every_layer_has_a_form() -> None:
    draft = Draft.new()
    for index, name in enumerate(Layer.registry):
        draft.add(index, name)
        model = settings_model(draft.document, ("layers", index))
        assert model is not None
        fields = fields_of(draft.document, ("layers", index))
        assert {field.name for field in fields} == {"type", *model.model_fields}


def test_searching_finds_names_first() -> None:
    choices = [
        Choice("selu", "like elu"),
        Choice("relu", "the usual one"),
        Choice("elu", "smooth"),
        Choice("tanh", "no"),
    ]
    assert [choice.name for choice in found(choices, "elu")] == ["elu", "selu", "relu"]
    assert [choice.name for choice in found(choices, "usual RELU")] == ["relu"]
    longer = [Choice("softplus", ""), Choice("softmax", ""), Choice("log_softmax", "")]
    assert [choice.name for choice in found(longer, "soft")] == ["softmax", "softplus", "log_softmax"]
    assert found(choices, "nothing of this") == []
    assert found(choices, "") == choices


def test_documentation_flows_but_formulas_keep_their_lines() -> None:
    long = "word " * 22
    assert flowing(f"{long}\nends here.\n\ny = x\nx: (batch)\n") == f"{long} ends here.\n\ny = x\nx: (batch)"
    assert "\x1b" not in flowing("a\x1b[31m")
