"""Checks of values against a JSON Schema, for values of which nearly all keep to it.

A schema is turned into functions once. They take a fifth of the time of jsonschema or less, and say
only that a value keeps to the schema; where they do not, jsonschema says what is wrong, if anything
is. A schema with a keyword that is not known here is left to it as well.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from pydantic import JsonValue

from seqd.parameters import Schema

Check = Callable[[object], bool]

#: Keywords that rule nothing out.
_ANNOTATIONS: Final = frozenset(
    {
        *("$defs", "title", "description", "default", "examples", "format", "shape"),
        *("contentEncoding", "contentMediaType", "deprecated", "readOnly", "writeOnly"),
        "discriminator",
    }
)
_OF_OBJECTS: Final = ("properties", "required", "additionalProperties", "maxProperties")
_TYPES: Final[Mapping[str, Check]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


class UnknownKeyword(Exception):
    """A schema has a keyword of which nothing is known here."""


def quick_check(schema: Schema) -> Check | None:
    """Return a function that is True for values that surely keep to a schema; None for none."""
    try:
        return _Compiler(schema).check(schema)
    except UnknownKeyword:
        return None


class _Compiler:
    """Makes the checks of one schema; those of its definitions once."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._defined: dict[str, Check | None] = {}

    def check(self, part: object) -> Check:
        """Return the check of a part of the schema. Raises UnknownKeyword."""
        if not isinstance(part, Mapping):
            raise UnknownKeyword
        schema = cast(Schema, part)
        checks: list[Check] = []
        if "type" in schema:
            if not isinstance(schema["type"], str):
                raise UnknownKeyword
            checks.append(_TYPES[schema["type"]])
        if any(keyword in schema for keyword in _OF_OBJECTS):
            checks.append(self._of_object(schema))
        for keyword, value in schema.items():
            if keyword not in _ANNOTATIONS and keyword not in ("type", *_OF_OBJECTS):
                checks.append(self._of_keyword(keyword, value))
        return _all_of(checks)

    def _of_keyword(self, keyword: str, value: JsonValue) -> Check:
        if keyword == "$ref":
            return self._definition(str(value))
        if keyword == "anyOf":
            return _any_of([self.check(part) for part in cast("Sequence[JsonValue]", value)])
        if keyword == "items":
            each = self.check(value)
            return lambda given: not isinstance(given, list) or all(map(each, given))
        return _of_limit(keyword, value)

    def _of_object(self, schema: Schema) -> Check:
        named = cast("Mapping[str, Schema]", schema.get("properties", {}))
        checks = {name: self.check(part) for name, part in named.items()}
        required = frozenset(cast("Sequence[str]", schema.get("required", ())))
        most = cast(int, schema.get("maxProperties", 2**31))
        rest = schema.get("additionalProperties", True)
        of_rest = self.check(rest) if isinstance(rest, dict) else None

        def check(given: object) -> bool:
            if not isinstance(given, dict):
                return True
            if len(given) > most or not required <= given.keys():
                return False
            for name, value in given.items():
                found = checks.get(name, of_rest)
                if found is None:
                    if rest is not True:
                        return False
                elif not found(value):
                    return False
            return True

        return check

    def _definition(self, reference: str) -> Check:
        name = reference.removeprefix("#/$defs/")
        definitions = cast("Mapping[str, Schema]", self._root.get("$defs", {}))
        if name not in definitions:
            raise UnknownKeyword
        if name not in self._defined:
            self._defined[name] = None  # it may name itself
            self._defined[name] = self.check(definitions[name])
        defined = self._defined

        def check(given: object) -> bool:
            found = defined[name]
            return found is not None and found(given)

        return check


def _all_of(checks: Sequence[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda given: first(given) and second(given)

    def check(given: object) -> bool:
        for one in checks:  # noqa: SIM110 - a generator takes twice as long
            if not one(given):
                return False
        return True

    return check


def _any_of(checks: Sequence[Check]) -> Check:
    if len(checks) == 2:
        first, second = checks
        return lambda given: first(given) or second(given)
    return lambda given: any(check(given) for check in checks)


def _of_limit(keyword: str, value: JsonValue) -> Check:
    """Return the check of a keyword with a bound or with values. Raises UnknownKeyword."""
    if keyword == "const":
        return _is_one_of([value])
    if keyword == "enum":
        return _is_one_of(cast("Sequence[JsonValue]", value))
    if keyword == "pattern":
        try:
            search = re.compile(str(value)).search
        except re.error:
            raise UnknownKeyword from None
        return lambda given: not isinstance(given, str) or search(given) is not None
    if not isinstance(value, int | float) or keyword not in _LIMITS:
        raise UnknownKeyword
    kinds, fits = _LIMITS[keyword]
    return lambda given: not isinstance(given, kinds) or fits(given, value)


def _is_one_of(values: Sequence[JsonValue]) -> Check:
    if not all(isinstance(value, str) for value in values):  # True is not 1 in JSON
        raise UnknownKeyword
    allowed = frozenset(cast("Sequence[str]", values))
    return lambda given: isinstance(given, str) and given in allowed


_NUMBERS: Final = (int, float)
_LIMITS: Final[Mapping[str, tuple[tuple[type, ...], Callable[..., bool]]]] = {
    "minimum": (_NUMBERS, lambda given, bound: given >= bound),
    "maximum": (_NUMBERS, lambda given, bound: given <= bound),
    "exclusiveMinimum": (_NUMBERS, lambda given, bound: given > bound),
    "exclusiveMaximum": (_NUMBERS, lambda given, bound: given < bound),
    "minLength": ((str,), lambda given, bound: len(given) >= bound),
    "maxLength": ((str,), lambda given, bound: len(given) <= bound),
    "minItems": ((list,), lambda given, bound: len(given) >= bound),
    "maxItems": ((list,), lambda given, bound: len(given) <= bound),
}
