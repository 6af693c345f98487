"""The base of everything a user can choose: one class holds its settings, its documentation and its maths."""

from __future__ import annotations

import inspect
import re
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tuilab.text import as_written, clean_text, did_you_mean


def snake_case(name: str) -> str:
    """Return a class name as it is written in an experiment file: `LeakyRelu` → `leaky_relu`, `L1L2` → `l1_l2`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Block(BaseModel):
    """A part that a user can choose.

    A direct subclass declared with `kind=True` (Activation, Layer, …) holds a registry; a subclass of a kind is a
    block, registered under its class name in snake case. A field of type `Activation` takes a block, its bare name
    (the block with its defaults) or a table with `type` and settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    is_kind: ClassVar[bool] = True
    registry: ClassVar[dict[str, type[Block]]] = {}
    other_names: ClassVar[dict[str, str]] = {}
    """Of a kind: names known elsewhere → what to write here; shown in the message for an unknown name."""

    def __init_subclass__(cls, kind: bool = False, abstract: bool = False, **kwargs: Any) -> None:
        cls.is_kind = kind or abstract
        if kind:
            cls.registry = {}
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if not cls.is_kind:
            cls.registry[cls.type_name()] = cls
        _forget_class_variables(cls)

    @classmethod
    def type_name(cls) -> str:
        """The name in the experiment file."""
        return snake_case(cls.__name__)

    @classmethod
    def kind_name(cls) -> str:
        """What kind of block this is, in words: `activation`, `optimizer`, …"""
        kind = next(base for base in cls.__mro__ if "registry" in vars(base))
        return snake_case(kind.__name__).replace("_", " ")

    @classmethod
    def documentation(cls) -> str:
        """The docstring: what it is, its formula, shapes and source."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def summary(cls) -> str:
        """The first sentence of the documentation, on one line."""
        paragraph = " ".join(cls.documentation().partition("\n\n")[0].split())
        return re.split(r"(?<!al)\. ", paragraph)[0].removesuffix(".")

    @classmethod
    def from_number(cls, number: float) -> Self:
        """Make a block from a bare number, where the kind has a meaning for one (a constant learning rate)."""
        raise cls._cannot_choose(number)

    @classmethod
    def choose(cls, choice: Any) -> Self:
        """Make a block of this kind from its name, from a table with `type`, from a bare number, or from itself.

        Raises PydanticCustomError for an unknown name and ValidationError for settings out of bounds.
        """
        if isinstance(choice, cls):
            return choice
        if isinstance(choice, str):
            name, settings = choice, {}
        elif isinstance(choice, dict) and isinstance(choice.get("type"), str):
            name, settings = choice["type"], {key: value for key, value in choice.items() if key != "type"}
        elif isinstance(choice, (int, float)) and not isinstance(choice, bool):
            return cls.from_number(choice)
        else:
            raise cls._cannot_choose(choice)
        block = cls.registry.get(name)
        if block is None or not issubclass(block, cls):
            raise PydanticCustomError("unknown_block", "{message}", {"message": cls._unknown(name)})
        return block.model_validate(settings)

    @classmethod
    def _unknown(cls, name: str) -> str:
        message = f"unknown {cls.kind_name()} '{clean_text(name, 60)}'"
        if name in cls.other_names:
            return f"{message}: write {cls.other_names[name]}"
        hint = did_you_mean(name, cls.registry)
        return message + (hint or f"; 'tuilab blocks' lists every {cls.kind_name()}")

    @classmethod
    def _cannot_choose(cls, choice: Any) -> PydanticCustomError:
        kind = cls.kind_name()
        name = f"the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        if not isinstance(choice, dict):
            message = f"must be {name} or a table with `type`, got {as_written(choice)}"
        elif "type" in choice:
            message = f"`type` must be {name}, got {as_written(choice['type'])}"
        else:
            message = f'add the key `type` with {name}, for example type = "{next(iter(cls.registry))}"'
        return PydanticCustomError("not_a_block", "{message}", {"message": message})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.choose) if cls.is_kind else handler(source)

    def settings(self) -> dict[str, Any]:
        """Every field by name, nested blocks as tables, None left out: what stands in an experiment file."""
        return {
            field: as_table(getattr(self, field))
            for field in type(self).model_fields
            if getattr(self, field) is not None
        }

    def table(self) -> dict[str, Any]:
        """This block as a table of an experiment file: `type` and every setting, defaults written out."""
        return {"type": self.type_name(), **self.settings()}


def _forget_class_variables(block: type[Block]) -> None:
    """Take away the annotations of class variables, which pydantic has read: it would evaluate them again for every
    class below, and the lab would open a tenth of a second later."""
    for name in block.__class_vars__ & vars(block).get("__annotations__", {}).keys():
        del block.__annotations__[name]


_forget_class_variables(Block)


def as_table(value: Any) -> Any:
    """Return `value` with every block in it replaced by its table, tuples by lists."""
    if isinstance(value, Block):
        return value.table()
    if isinstance(value, BaseModel):
        fields = ((field, getattr(value, field)) for field in type(value).model_fields)
        return {field: as_table(item) for field, item in fields if item is not None}
    if isinstance(value, (list, tuple)):
        return [as_table(item) for item in value]
    if isinstance(value, dict):
        return {key: as_table(item) for key, item in value.items()}
    return value
