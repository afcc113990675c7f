"""Whether two outcomes are the same, within the rounding of a batched sum, and how to show one."""

from collections.abc import Mapping, Sequence
from math import isclose, isnan
from typing import Final

from pydantic import BaseModel

from seqd_schemas import Generation

#: How far two numbers may be apart that were summed in another order: float32 has 7 digits.
TOLERANCE: Final = 1e-5

#: What a generation's sample may differ in from that of another run: how likely each text was is
#: computed beside it.
_TEXTS = ("text", "temperature")

#: Characters that are shown of a text, or of a field.
SHOWN_CHARS: Final = 60


def close(first: object, second: object, tolerance: float = TOLERANCE) -> bool:
    """Return True when two outcomes are the same within a tolerance of their numbers.

    That is the rounding of a batched sum, unless another is given, and is absolute and relative.
    """
    if isinstance(first, Generation) and isinstance(second, Generation):
        return (
            first.prompt == second.prompt
            and len(first.samples) == len(second.samples)
            and all(
                getattr(one, name) == getattr(other, name)
                for one, other in zip(first.samples, second.samples, strict=True)
                for name in _TEXTS
            )
        )
    if isinstance(first, BaseModel):
        return type(first) is type(second) and close(dict(first), _fields(second), tolerance)
    if isinstance(first, float) and isinstance(second, float):
        both_nan = isnan(first) and isnan(second)  # which B1 tells
        return both_nan or isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(
            close(part, second[name], tolerance) for name, part in first.items()
        )
    if _is_list(first) and _is_list(second):
        one, other = list(first), list(second)  # type: ignore[call-overload]
        return len(one) == len(other) and all(
            close(*pair, tolerance) for pair in zip(one, other, strict=True)
        )
    return first == second


def _fields(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, BaseModel) else {}


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def brief(outcome: object) -> str:
    """Return an outcome in a few words: its class, and the fields that were set."""
    if not isinstance(outcome, BaseModel):
        return f"{outcome!r:.120}"
    fields = {name: value for name, value in outcome if value != _default(outcome, name)}
    said = ", ".join(f"{name}={_cut(repr(value))}" for name, value in fields.items())
    return f"{type(outcome).__name__}({said})"


def _default(outcome: BaseModel, name: str) -> object:
    field = type(outcome).model_fields.get(name)
    return None if field is None else field.get_default()


def quoted(text: str) -> str:
    """Return a text as Python writes it, the beginning of a long one."""
    return repr(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
