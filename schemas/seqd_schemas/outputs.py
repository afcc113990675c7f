"""Outputs that tasks share, so that a score or an embedding looks alike whatever model gives it.

A task's output is a pydantic model of its plugin: one of these, a subclass with more fields, or one
of its own. `Vector` is the type of a field that holds many numbers.
"""

import binascii
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import isfinite
from struct import unpack_from
from typing import Annotated, Any, Final, Literal, Self, cast, overload

from pydantic import (
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from seqd_schemas.base import WireModel
from seqd_schemas.results import Probability

#: Numbers that one vector may have.
MAX_DIMENSIONS: Final = 65_536
#: Labels, and spans, that one output may have.
MAX_LABELS: Final = 1_000
MAX_SPANS: Final = 65_536
#: `format` of a vector in a JSON Schema.
VECTOR_FORMAT: Final = "float32-vector"
#: Bytes of one number of a vector.
FLOAT_BYTES: Final = 4
#: Kinds of an array's numbers, as `__array_interface__` has them: truth values, whole and real.
_REAL_KINDS: Final = "biuf"

_Truncated = Annotated[
    bool, Field(description="True when the item was longer than the model reads.")
]
_LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Vector(Sequence[float]):
    """A vector of finite 32-bit floats.

    In JSON it is one text: base64 of the numbers, little endian, four bytes each. That is a third
    more than the numbers themselves take, where decimal text is two or three times as much.
    """

    __slots__ = ("_data",)

    def __init__(self, values: "Sequence[float] | bytes") -> None:
        """Take numbers, an array of them, or four bytes of each; raise ValueError for others.

        A NumPy array of one axis is copied as it is, where its type is float32.
        """
        self._data = _packed(values)
        if not 1 <= len(self) <= MAX_DIMENSIONS:
            raise ValueError(f"it has {len(self):,} numbers; allowed: 1 to {MAX_DIMENSIONS:,}")
        # Only such a byte begins a number that is not finite, or one above 1.7e38. And one that is
        # not finite makes the sum so, where a sum of finite ones is too small for that.
        begins = self._data[FLOAT_BYTES - 1 :: FLOAT_BYTES]
        if (b"\x7f" in begins or b"\xff" in begins) and not isfinite(sum(self._numbers())):
            raise ValueError("a number of it is not finite; allowed: finite numbers")

    @property
    def data(self) -> bytes:
        """The numbers as bytes, little endian, four of each."""
        return self._data

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Return the vector that JSON has; raise ValueError where it is none."""
        try:
            content = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:
            raise ValueError(f"it is no base64: {error}") from None
        return cls(content)

    def to_base64(self) -> str:
        """Return the text that JSON has of it."""
        return binascii.b2a_base64(self.data, newline=False).decode()

    @property
    def __array_interface__(self) -> dict[str, object]:
        """What `numpy.asarray` reads: the numbers, without a copy."""
        return {"shape": (len(self),), "typestr": "<f4", "data": self.data, "version": 3}

    def _numbers(self) -> "array[float]":
        numbers = array("f", self.data)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def __len__(self) -> int:
        return len(self.data) // FLOAT_BYTES

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...

    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return self._numbers()[index]
        place = range(len(self))[index]
        number: float = unpack_from("<f", self._data, place * FLOAT_BYTES)[0]
        return number

    def __iter__(self) -> Iterator[float]:
        return iter(self._numbers())

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if isinstance(other, Vector) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.data)

    def __repr__(self) -> str:
        first = ", ".join(f"{number:.4g}" for number in self[:4])
        more = ", ..." if len(self) > 4 else ""
        return f"Vector([{first}{more}], dimensions={len(self)})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how pydantic takes one: a vector or numbers in Python, base64 in JSON."""
        from_text = core_schema.no_info_after_validator_function(
            cls.from_base64, core_schema.str_schema(max_length=_base64_chars(MAX_DIMENSIONS))
        )
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.no_info_plain_validator_function(_as_vector),
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.to_base64, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of its text."""
        return {
            "type": "string",
            "contentEncoding": "base64",
            "format": VECTOR_FORMAT,
            "minLength": _base64_chars(1),
            "maxLength": _base64_chars(MAX_DIMENSIONS),
        }


@dataclass(frozen=True, slots=True)
class Dimensions:
    """How many numbers a vector has: `Annotated[Vector, Dimensions(256)]`."""

    count: int

    def __post_init__(self) -> None:
        """Raise ValueError for a length that no vector has."""
        if not 1 <= self.count <= MAX_DIMENSIONS:
            raise ValueError(f"a vector of {self.count} numbers; allowed: 1 to {MAX_DIMENSIONS:,}")

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of a vector, with the check of its length behind it."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of its text, of which the length is known."""
        chars = _base64_chars(self.count)
        shape = {"shape": [self.count], "minLength": chars, "maxLength": chars}
        return {**handler(schema), **shape}

    def _checked(self, vector: Vector) -> Vector:
        if len(vector) != self.count:
            raise ValueError(f"it has {len(vector):,} numbers; allowed: {self.count:,}")
        return vector


def _base64_chars(count: int) -> int:
    """Return the characters of base64 that so many numbers take."""
    return (count * FLOAT_BYTES + 2) // 3 * 4


def _as_vector(value: object) -> Vector:
    if isinstance(value, Vector):
        return value
    if isinstance(value, str):
        return Vector.from_base64(value)
    if isinstance(value, bytes | Sequence) or hasattr(value, "__array_interface__"):
        return Vector(value)  # type: ignore[arg-type]  # arrays are no sequences to a type checker
    raise ValueError(f"it is of type {type(value).__name__}; allowed: a vector of numbers")


def _packed(values: object) -> bytes:
    """Return numbers as little-endian bytes; raise ValueError for what are none."""
    if isinstance(values, Vector):
        return values.data
    if isinstance(values, bytes | bytearray | memoryview):
        content = bytes(values)
        if len(content) % FLOAT_BYTES:
            raise ValueError(f"it has {len(content):,} bytes; allowed: four of each number")
        return content
    try:
        buffer = memoryview(cast("bytes", values))  # an array is one, too
    except (TypeError, ValueError):
        return _packed_numbers(values)
    if buffer.ndim != 1:
        raise ValueError(f"it has the shape {buffer.shape}; allowed: one axis")
    if buffer.format == "f" and sys.byteorder == "little":
        return buffer.tobytes()
    return _packed_numbers(values)


def _packed_numbers(values: object) -> bytes:
    if isinstance(values, Mapping | Set):
        raise ValueError(f"it is of type {type(values).__name__}; allowed: numbers in order")
    kind = getattr(values, "__array_interface__", {}).get("typestr", "<f4")
    if kind[1] not in _REAL_KINDS:
        raise ValueError(f"it is an array of the type {kind}; allowed: numbers")
    try:
        numbers = array("f", cast("Sequence[float]", values))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"it is no vector of 32-bit floats: {error}") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


class TaskOutput(WireModel):
    """Base of the outputs here, and of a plugin's own: frozen, closed, finite.

    Each field needs a `description` and bounds: an output is published as a JSON Schema, and an
    outcome is held against it before it is stored.
    """

    model_config = ConfigDict(allow_inf_nan=False)


class Text(TaskOutput):
    """A text that the model made of the item: a translation, a summary, an answer."""

    type: Literal["text"] = Field(default="text", description="What the output is.")
    text: str = Field(max_length=1_048_576, description="The text.")
    truncated: _Truncated = False


class Score(TaskOutput):
    """A number that the model gives the item."""

    type: Literal["score"] = Field(default="score", description="What the output is.")
    score: float = Field(ge=-1e30, le=1e30, description="The score; what it means the task says.")
    truncated: _Truncated = False


class ScoredLabel(TaskOutput):
    """One label of an item."""

    label: _LabelName = Field(description="The label.")
    score: Probability = Field(description="The model's probability of it, from 0 to 1.")


class Labels(TaskOutput):
    """The labels that apply to the item, each with its score: none, one or several."""

    type: Literal["labels"] = Field(default="labels", description="What the output is.")
    labels: tuple[ScoredLabel, ...] = Field(max_length=MAX_LABELS)
    """The labels, each once, the highest score first."""
    truncated: _Truncated = False

    @field_validator("labels")
    @classmethod
    def _check_order(cls, labels: tuple[ScoredLabel, ...]) -> tuple[ScoredLabel, ...]:
        if len({one.label for one in labels}) < len(labels):
            raise ValueError("a label is given twice; allowed: each label once")
        scores = [one.score for one in labels]
        if scores != sorted(scores, reverse=True):
            raise ValueError("they are not in the order of their scores; allowed: highest first")
        return labels


class Embedding(TaskOutput):
    """The item as a vector. A task whose vectors have one length says so in a subclass:

    class Embedding256(Embedding):
        vector: Annotated[Vector, Dimensions(256)] = Field(description="The vector.")
    """

    type: Literal["embedding"] = Field(default="embedding", description="What the output is.")
    vector: Vector = Field(description="The vector.")
    truncated: _Truncated = False


class Span(TaskOutput):
    """A part of the item's text."""

    start: int = Field(ge=0, le=1_048_576, description="Its first character, counted from 0.")
    end: int = Field(ge=0, le=1_048_576, description="The character behind its last one.")
    label: _LabelName = Field(description="What it is, such as PERSON.")
    score: Probability | None = None
    """The model's probability, where it gives one."""

    @field_validator("end")
    @classmethod
    def _check_end(cls, end: int, given: Any) -> int:
        start = given.data.get("start", 0)
        if end <= start:
            raise ValueError(f"it is not behind start, which is {start}")
        return end


class Spans(TaskOutput):
    """Parts of the item's text, each with its label: names, places, keywords."""

    type: Literal["spans"] = Field(default="spans", description="What the output is.")
    spans: tuple[Span, ...] = Field(max_length=MAX_SPANS)
    """The spans, in the order of their first characters."""
    truncated: _Truncated = False
