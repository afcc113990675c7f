"""Checks what a plugin gives for items, each outcome alone, and makes the results of it.

pydantic checks a record when it is made, but not by `model_construct`, and it takes a subclass for
what that derives from. What is committed must be readable by everybody, so each outcome is checked
once more, strictly. One that is wrong becomes the error of its own item.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from itertools import islice
from math import isfinite
from typing import Annotated, TypeVar, cast

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import from_json

from seqd.errors import wire_text
from seqd.hookspecs import WorkItem
from seqd.ledger.blobs import MAX_RESULT_BYTES
from seqd.validation import fault_sentence, listed
from seqd.worker.labelling import Labelling
from seqd_schemas import (
    ITEM_RESULT,
    MAX_CLASSES,
    MAX_OUTPUT_FIELDS,
    NAMED_OUTPUTS,
    Classification,
    Dimensions,
    GeneratedSample,
    Generation,
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    RefusedItem,
    Vector,
)

log = logging.getLogger(__name__)


class CheckedJson(dict[str, JsonValue]):
    """The output of a plugin's own task as JSON, which was checked; no plugin makes one."""


#: What a plugin gives for an item, and what is kept of it.
Outcome = BaseModel | ItemError | CheckedJson
Kept = Classification | Generation | CheckedJson | ItemError
Results = list[ItemSuccess | ItemFailure]
#: One call of a plugin, for items.
Call = Callable[[Sequence[WorkItem]], Sequence[Outcome]]

#: Characters that surely fit into `MAX_RESULT_BYTES`, at six bytes of JSON each; and what a sample
#: has beside its text, counted as characters.
_SMALL_CHARS = MAX_RESULT_BYTES // 8
_SAMPLE_CHARS = 100

#: Bytes of JSON that one output of a plugin's own task may have.
MAX_OUTPUT_BYTES = 8 * 1024 * 1024

#: Most bytes that one character of a text takes in JSON.
_JSON_BYTES_PER_CHAR = 6

_NAMED = (Classification, Generation)

#: Longest label, in characters.
_LABEL_CHARS = 256

#: What the probabilities of all classes may add up to: of ten that are rounded to two digits.
_MAX_SUM = 1.05

#: Classes that an error names.
_NAMED_CLASSES = 20

_Result = Annotated[ItemSuccess | ItemFailure, Field(union_mode="left_to_right")]
_T = TypeVar("_T")
_RESULTS: TypeAdapter[Results] = TypeAdapter(list[_Result])


def results_of(
    entries: Sequence[Item | RefusedItem],
    outcomes: Iterator[object],
    output: type[BaseModel],
    attempts: int,
    labelling: Labelling | None = None,
    versions: Iterator[int] | None = None,
) -> Results:
    """Return the results of a unit's entries; `outcomes` has one for each that was not refused.

    An outcome that is no `output` and no ItemError, or that a result cannot hold, becomes the error
    `plugin_error` of its item. `labelling` is what the job asks of its labels. `versions` has the
    version that computed each, where results name it.
    """
    rows: list[object] = []
    for entry in entries:
        outcome = checked(next(outcomes), output) if isinstance(entry, Item) else entry.refused
        if labelling is not None and isinstance(outcome, Classification):
            outcome = labelling.applied(outcome)
        version = next(versions) if versions is not None and isinstance(entry, Item) else None
        if isinstance(outcome, CheckedJson):
            # All of it was checked; to do it again takes as long as to write the result.
            made = ItemSuccess.model_construct(custom_id=entry.custom_id, output=outcome)
            rows.append(made if version is None else made.model_copy(update={"version": version}))
        elif isinstance(outcome, ItemError):
            failure = {"custom_id": entry.custom_id, "error": outcome, "attempts": attempts}
            rows.append({**failure, "version": version})
        else:
            rows.append({"custom_id": entry.custom_id, "output": outcome, "version": version})
    # All of a unit in one call: it takes two thirds of the time of making one after the other.
    return _RESULTS.validate_python(rows)


def checked(outcome: object, output: type[BaseModel]) -> Kept:
    """Return an outcome that a result can hold, or the error that its item has instead."""
    if type(outcome) is Classification and output is Classification and _is_sound(outcome):
        return outcome
    if type(outcome) is CheckedJson:
        return outcome
    try:
        if output in _NAMED:
            return _validated(outcome, output)
        return _as_json(outcome, output)
    except _BadOutcome as error:
        log.error("%s", error)
        return ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=wire_text(str(error)))


def with_known_label(outcome: _T, classes: Collection[str]) -> _T | ItemError:
    """Return an outcome, or the error of its item where its label is none of the model's."""
    label = getattr(outcome, "label", None)
    if not isinstance(label, str) or label in classes:
        return outcome
    named = listed(map(repr, islice(classes, _NAMED_CLASSES)))
    message = (
        f"The model plugin gave the label {label!r:.80}; its contract (B1) allows those that it "
        f"names in LoadedModel.classes: {named}{', …' if len(classes) > _NAMED_CLASSES else ''}. "
        "Name this one, too, or give one of these."
    )
    log.error("%s", message)
    return ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=wire_text(message))


class _BadOutcome(Exception):
    """An outcome that no result can hold; says what is wrong and what is allowed."""


def _is_sound(outcome: Classification) -> bool:
    """Return True for a usual classification with nothing wrong; False where pydantic must look.

    It takes a tenth of pydantic's time. What it says is held against pydantic by a test.
    """
    fields = outcome.__dict__
    label, probabilities = fields.get("label"), fields.get("probabilities", ())
    return (
        len(fields) == 7
        and fields.get("type") == "classification"
        and type(label) is str
        and len(label) <= _LABEL_CHARS
        and label.isascii()
        and type(fields.get("truncated")) is bool
        and type(fields.get("uncertain")) is bool
        and _is_share(fields.get("score"))
        and _is_share(fields.get("unknown_share"))
        and (probabilities is None or _are_shares(probabilities))
    )


def _is_share(value: object) -> bool:
    return type(value) is float and 0.0 <= value <= 1.0


def _are_shares(probabilities: object) -> bool:
    return (
        type(probabilities) is dict
        and len(probabilities) <= MAX_CLASSES
        and all(
            type(name) is str and len(name) <= _LABEL_CHARS and name.isascii() and _is_share(value)
            for name, value in probabilities.items()
        )
        and sum(probabilities.values()) <= _MAX_SUM
    )


def _as_json(outcome: object, output: type[BaseModel]) -> CheckedJson | ItemError:
    """Return the output of a plugin's own task as JSON, checked strictly. Raises _BadOutcome."""
    if isinstance(outcome, ItemError):
        return cast(ItemError, _validated(outcome, output))
    if type(outcome) is not output:
        raise _BadOutcome(
            f"The model plugin gave {type(outcome).__name__} as an outcome; its contract (B1) "
            f"allows {output.__name__}, which the task states, and ItemError."
        )
    try:
        made = _flat_json(outcome) if _is_flat(outcome) else _read_back(outcome)
        _check_fields(made)
        return made
    except _BadOutcome:
        raise
    except ValidationError as error:
        fault = fault_sentence(error)
    except ValueError as error:  # such as a number that is not finite
        fault = str(error)
    except Exception as error:
        log.exception("a validator or serializer of %s raised", output.__name__)
        fault = f"its class raised {type(error).__name__}: {error}"
    raise _BadOutcome(
        f"The model plugin gave a {output.__name__} that no result can hold: {fault}."
    )


def _is_flat(outcome: BaseModel) -> bool:
    """Return True for an output of short texts, numbers and vectors alone, as it was declared.

    It is checked as it is, in half the time that it takes to write and read it.
    """
    if not _is_plain(type(outcome)):
        return False
    size = 0
    for value in outcome.__dict__.values():
        kind = type(value)
        if kind is Vector:
            size += 2 * len(value.data)
        elif kind is str:
            size += _JSON_BYTES_PER_CHAR * len(value)
        elif value is not None and kind is not bool and kind is not int and kind is not float:
            return False
    return size <= MAX_OUTPUT_BYTES and len(outcome.__dict__) == len(type(outcome).model_fields)


@lru_cache(maxsize=1_024)
def _is_plain(output: type[BaseModel]) -> bool:
    """Return True for a class that is written as its fields are: no serializer of its own."""
    own = output.__pydantic_decorators__
    if own.field_serializers or own.model_serializers or own.computed_fields:
        return False
    parts = (part for field in output.model_fields.values() for part in field.metadata)
    return all(
        isinstance(part, Dimensions) or not hasattr(part, "__get_pydantic_core_schema__")
        for part in parts
    )


def _flat_json(outcome: BaseModel) -> CheckedJson:
    """Return a flat output as JSON, as it is once it is validated strictly."""
    for name, value in outcome.__dict__.items():
        if type(value) is float and not isfinite(value):
            raise ValueError(f"{name} is {value}; allowed: a finite number")
    made = type(outcome).model_validate(outcome.__dict__, strict=True)
    for value in made.__dict__.values():
        if type(value) is str:
            value.encode()  # raises for a lone surrogate
    return CheckedJson(type(outcome).__pydantic_serializer__.to_python(made, mode="json"))


def _read_back(outcome: BaseModel) -> CheckedJson:
    """Return an output as the JSON that it is written as, which reads as the same output."""
    output = type(outcome)
    content = output.__pydantic_serializer__.to_json(outcome, warnings=False)
    if len(content) > MAX_OUTPUT_BYTES:
        raise _BadOutcome(
            f"The {output.__name__} that the model gave is {len(content):,} bytes as JSON; "
            f"allowed: {MAX_OUTPUT_BYTES:,}. Ask for less, or give the items in parts."
        )
    _check_finite(outcome)
    made = output.model_validate_json(content, strict=True)
    if output.__pydantic_serializer__.to_json(made, warnings=False) != content:
        raise ValueError("it is read in another form than it is written")
    # A result has one level more, and a reader is to take that too.
    return CheckedJson(from_json(b"[" + content + b"]")[0])


def _check_fields(made: CheckedJson) -> None:
    if len(made) > MAX_OUTPUT_FIELDS:
        raise ValueError(f"it has {len(made):,} fields; allowed: {MAX_OUTPUT_FIELDS}")
    kind = made.get("type")
    if isinstance(kind, str) and kind in NAMED_OUTPUTS:
        raise ValueError(f"its type is {kind!r}, which is that of another output")


def _check_finite(value: object, field: str = "") -> None:
    """Raise ValueError for a number that is not finite, which JSON would have as null."""
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{field} is {value}; allowed: a finite number")
    elif isinstance(value, list | tuple | set | frozenset):
        for place, part in enumerate(value):
            _check_finite(part, f"{field}.{place}")
    elif isinstance(value, dict):
        for name, part in value.items():
            _check_finite(part, f"{field}.{name}")
    elif isinstance(value, BaseModel):
        for name, part in value.__dict__.items():
            _check_finite(part, f"{field}.{name}" if field else name)
    elif is_dataclass(value):
        for part in fields(value):
            _check_finite(getattr(value, part.name, None), f"{field}.{part.name}")


def _validated(outcome: object, output: type[BaseModel]) -> Classification | Generation | ItemError:
    """Return an outcome made anew of its fields, all checked strictly. Raises _BadOutcome."""
    kind = ItemError if isinstance(outcome, ItemError) else output
    if not isinstance(outcome, kind):
        raise _BadOutcome(
            f"The model plugin gave {type(outcome).__name__} as an outcome; its contract (B1) "
            f"allows {output.__name__} and ItemError."
        )
    try:
        made = kind.model_validate(_fields(outcome, kind), strict=True)
    except ValidationError as error:
        fault = fault_sentence(error)
        raise _BadOutcome(
            f"The model plugin gave a {kind.__name__} that no result can hold: {fault}."
        ) from None
    if isinstance(made, Classification):
        _check_sum(made)
    if isinstance(made, Generation):
        _check_size(made)
    return cast("Classification | Generation | ItemError", made)


def _fields(part: object, kind: type[BaseModel]) -> object:
    """Return the fields of a record, those of a generation's samples too, to be validated.

    Of a subclass as well, unless it has more fields. Raises _BadOutcome.
    """
    if not isinstance(part, kind):
        return part
    more = sorted(type(part).model_fields.keys() - kind.model_fields.keys())
    if more:
        raise _BadOutcome(
            f"The model plugin gave {type(part).__name__} with the field {more[0]!r}, which would "
            f"be lost: a result holds the fields of {kind.__name__} only."
        )
    fields = dict(part.__dict__)
    samples = fields.get("samples")
    if isinstance(samples, tuple) and kind is Generation:
        fields["samples"] = tuple(_fields(sample, GeneratedSample) for sample in samples)
    return fields


def _check_sum(classification: Classification) -> None:
    """Raise _BadOutcome for probabilities of which not one class can be the right one."""
    total = sum((classification.probabilities or {}).values())
    if total > _MAX_SUM:
        raise _BadOutcome(
            "The model plugin gave a Classification that no result can hold: its probabilities add "
            f"up to {total:.4g}; allowed: 1, and {_MAX_SUM - 1:.2g} more for rounding."
        )


def _check_size(generation: Generation) -> None:
    """Raise _BadOutcome for one that is larger than what a reader of results takes."""
    samples = generation.samples
    chars = sum(len(sample.text) for sample in samples) + len(samples) * _SAMPLE_CHARS
    if chars + len(generation.prompt) <= _SMALL_CHARS:
        return
    longest_name = "\\" * 128
    result = ItemSuccess(custom_id=longest_name, output=generation)
    size = len(ITEM_RESULT.dump_json(result))
    if size > MAX_RESULT_BYTES:
        raise _BadOutcome(
            f"What the model wrote is {size:,} bytes as JSON; allowed: {MAX_RESULT_BYTES:,}. Ask "
            "for fewer or shorter samples of each prompt."
        )
