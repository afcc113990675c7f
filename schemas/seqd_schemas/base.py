"""Base classes and bounded types that all wire models share. Records have modules of their own.

Stored records are written without their defaults, and read with fields ignored that are not known:
so records of one release can be read by another; `schemas/languages.md` has the whole rule. A
request that somebody hands in is not read so: an unknown field is refused there, since it is a
mistake.
"""

import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    TypeAdapter,
)
from pydantic_core import CoreSchema, core_schema

#: The highest format that this release reads. It grows with what an older reader must not ignore;
#: the rule is in `schemas/languages.md`.
FORMAT = 3
#: The tenant of whoever names none.
DEFAULT_TENANT = "default"
#: Longest text of one item, in characters and in bytes of UTF-8; IMDB's longest has 13,704.
MAX_TEXT_CHARS = 1_048_576
#: Items that one inline job may hold; more travel as an upload or a file.
MAX_INLINE_ITEMS = 1_000
#: Size of one job's JSON, inline items included, in bytes.
MAX_JOB_BYTES = 4_194_304


class WireModel(BaseModel):
    """A record that crosses a process border, or a part of one: frozen and closed.

    An unknown field is refused, so that a typing mistake never passes silently. What is stored is
    read otherwise; see `from_stored`. Its validator is built when it is first needed, not at
    import: there are sixty records, and a program needs a few of them.

    What a field is, its `Field` says in one line, or a text below it. Such a text is read for JSON
    Schemas alone: pydantic's own way reads all sources at import.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="null", defer_build=True
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema, by which tags are written even with `exclude_defaults`."""
        schema = handler(source)
        for field in _fields_of(schema):
            if is_tag(field):
                # A default with a serializer of its own is not looked at.
                field["serialization"] = core_schema.simple_ser_schema("str")
        return schema

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return pydantic's JSON Schema, with the texts below fields as their descriptions."""
        whole = handler(schema)
        properties = handler.resolve_ref_schema(whole).get("properties", {})
        for kind in cls.__mro__:
            if kind.__module__.startswith(f"{__package__}."):
                texts = texts_below_fields(kind)
                for name in properties.keys() & texts.keys():
                    properties[name].setdefault("description", texts[name])
        return whole


@cache
def texts_below_fields(kind: type) -> dict[str, str]:
    """Return by field the text that stands below it in the class."""
    import ast
    from inspect import getsource

    try:
        body = ast.parse(getsource(kind)).body
    except (OSError, SyntaxError):
        # Packed without sources, changed since its import, or made by pydantic of another class.
        return {}
    return {
        field.target.id: " ".join(str(below.value.value).split())
        for definition in body
        if isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def _fields_of(schema: Any) -> "list[dict[str, Any]]":
    """Return the schemas of a record's fields, inside what validators and references wrap it in."""
    while "fields" not in schema:
        if "schema" not in schema:  # a reference to a record that was built before
            return []
        schema = schema["schema"]
    return [field["schema"] for field in schema["fields"].values()]


def is_tag(field: "Mapping[str, Any]") -> bool:
    """Return True for a field that has one text at all times, such as `kind`."""
    if field["type"] != "default" or field["schema"]["type"] != "literal":
        return False
    allowed: list[object] = field["schema"]["expected"]
    return len(allowed) == 1 and isinstance(allowed[0], str)


LeastFormat = Annotated[
    int,
    Field(
        ge=1,
        le=FORMAT,
        description="Least format whose readers can act on the record; left out where it is 1.",
    ),
]

JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
CustomId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
]
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
#: `name`, `name@3` (a version) or `name@production` (a label).
ModelRef = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}(@([0-9]{1,9}|[a-z][a-z0-9_-]{0,39}))?$")
]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
#: What a model can do: `classify`, `generate`, `train`, or a task that its plugin has named.
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
TenantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
ShortText = Annotated[str, StringConstraints(max_length=4_096)]
#: What an operator writes, or what is written of one.
OperatorText = Annotated[str, StringConstraints(max_length=500)]
#: A word that programs go by. No closed list: a reader that refused a later release's word would
#: miss the whole record.
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
#: Seconds, or another measured number.
Positive = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
#: Versions of a plugin that a job names: those that computed it, the first of them.
PluginVersions = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=64)], ...], Field(max_length=8)
]
#: Milliseconds since 1970-01-01 UTC, on the Redis server's clock.
EpochMs = Annotated[int, Field(ge=0, le=2**53)]
Count = Annotated[int, Field(ge=0, le=2**53)]
#: An entry of a stream in Redis, `MILLISECONDS-NUMBER`.
EntryId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$")]

Scalar = bool | int | float | Annotated[str, StringConstraints(max_length=16_384)] | None
#: A plugin parameter's value on the wire: a scalar, or a list of up to 256 scalars.
ParameterValue = Scalar | Annotated[list[Scalar], Field(max_length=256)]
ParameterName = Annotated[str, StringConstraints(max_length=128)]
Parameters = Annotated[dict[ParameterName, ParameterValue], Field(max_length=64)]


class ModelReference(NamedTuple):
    """A model and which of its versions is meant, as `ModelRef` writes it."""

    name: str
    #: A version's number, a label, or None: the version in service.
    version: int | str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parts of `name`, `name@3` or `name@production`; checks neither of them."""
        name, _, version = text.partition("@")
        if version.isdecimal():
            return cls(name, int(version))
        return cls(name, version or None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


_Record = TypeVar("_Record", bound=BaseModel)


def to_stored(record: BaseModel) -> str:
    """Return a record as JSON, without the fields that have their default value.

    Tags such as `kind`, `event` and `status` are always written: they tell readers what it is.
    """
    return record.model_dump_json(exclude_defaults=True)


def from_stored(
    kind: "type[_Record] | TypeAdapter[_Record]", content: str | bytes | bytearray
) -> _Record:
    """Return the record that `to_stored` wrote, of this release, an older or a later one.

    Unknown fields are ignored, in parts of the record, too. Raises ValidationError, also for a
    record whose `format` is higher than `FORMAT`; see `is_later`.
    """
    if isinstance(kind, TypeAdapter):
        return kind.validate_json(content, extra="ignore")
    return kind.model_validate_json(content, extra="ignore")


def is_later(content: str | bytes | bytearray) -> bool:
    """Return True for a record that only a later release can read: it states so itself."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    least = document.get("format") if isinstance(document, dict) else None
    return isinstance(least, int) and least > FORMAT
