"""Outputs of plugins' own tasks, read as the class that the caller names, or as dictionaries.

A service needs no plugin for that: the class may be the plugin's, one of `seqd_schemas` such as
`Embedding`, or the service's own. Fields that the class does not have are left out. Dictionaries
are held against the JSON Schema that their job was accepted with, where Redis still has it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from seqd.errors import InvalidRequest, OutputMismatch
from seqd.parameters import Schema, allowed
from seqd.validation import fault_sentence, shown
from seqd_schemas import ItemFailure, ItemSuccess, Output

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator


def check_output_class(output: object) -> None:
    """Raise InvalidRequest for what no output can be read as."""
    if output is not None and not (isinstance(output, type) and issubclass(output, BaseModel)):
        raise InvalidRequest(
            f"output is {output!r:.80}; allowed: a pydantic model, such as "
            "seqd_schemas.Embedding, or nothing, for dictionaries."
        )


class OutputReader(Generic[Output]):
    """How the outputs of a job, or of several that do one task, are read."""

    def __init__(self, output: type[Output] | None, schema: Schema | None = None) -> None:
        """`output` is the class; without it, dictionaries are held against the `schema`."""
        self.output = output
        self._schema = schema
        self._is_sound: Callable[[object], bool] | None = None
        if schema is not None:
            from seqd.client.schema_checks import quick_check  # jobs of other kinds have none

            self._is_sound = quick_check(schema)
        self._validator: Draft202012Validator | None = None

    def __call__(
        self, result: "ItemSuccess[object] | ItemFailure"
    ) -> "ItemSuccess[Output] | ItemFailure":
        """Return a result with its output as what it is read as; raises OutputMismatch.

        Outputs of other kinds of job stay as they are, where they are of that class.
        """
        if isinstance(result, ItemSuccess):
            if isinstance(result.output, dict):
                made = self.read(result.output, result.custom_id)
                if made is not result.output:
                    result = result.model_copy(update={"output": made})
            elif self.output is not None and not isinstance(result.output, self.output):
                raise OutputMismatch(
                    f"The output of item {result.custom_id!r} is a {type(result.output).__name__} "
                    f"and no {self.output.__name__}. Read the job without `output`."
                )
        return cast("ItemSuccess[Output] | ItemFailure", result)

    def read(self, output: Mapping[str, object], custom_id: str) -> Output:
        """Return the output of an item as what it is read as; raises OutputMismatch."""
        if self.output is None:
            self._check(output, custom_id)
            return cast(Output, output)
        named = cast("type[BaseModel]", self.output)
        try:
            # As JSON, which it is: a list there is a tuple to a strict class.
            return cast(Output, named.model_validate_json(to_json(output), extra="ignore"))
        except ValidationError as error:
            raise OutputMismatch(
                f"The output of item {custom_id!r} is no {named.__name__}: "
                f"{fault_sentence(error)}. Read the job without `output`, or with the class that "
                "the task states."
            ) from None

    def _check(self, output: Mapping[str, object], custom_id: str) -> None:
        if self._schema is None or (self._is_sound is not None and self._is_sound(output)):
            return
        if self._validator is None:
            from jsonschema import Draft202012Validator  # 50 ms, which few need

            self._validator = Draft202012Validator(dict(self._schema))
        error = next(self._validator.iter_errors(output), None)
        if error is None:
            return
        from seqd.client.output_fields import CHANGED

        where = _path(error.absolute_path)
        rule = cast(Schema, error.schema)
        fault = (
            f"{where} is {shown(error.instance)}; allowed: {allowed(rule, self._schema)}"
            if where
            else error.message
        )
        raise OutputMismatch(
            f"The output of item {custom_id!r} does not keep to the schema of its job: "
            f"{fault}. {CHANGED}"
        )


def _path(parts: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in parts)
