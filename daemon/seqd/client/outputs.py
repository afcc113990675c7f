"""Outputs of plugins' own tasks, read as the class that the caller names, or as dictionaries.

A service needs no plugin for that: the class may be the plugin's, one of `seqd_schemas` such as
`Embedding`, or the service's own. Fields that the class does not have are left out.
"""

from collections.abc import Mapping
from typing import Generic, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from seqd.errors import InvalidRequest, OutputMismatch
from seqd.validation import fault_sentence
from seqd_schemas import ItemFailure, ItemSuccess, Output


def check_output_class(output: object) -> None:
    """Raise InvalidRequest for what no output can be read as."""
    if output is not None and not (isinstance(output, type) and issubclass(output, BaseModel)):
        raise InvalidRequest(
            f"output is {output!r:.80}; allowed: a pydantic model, such as "
            "seqd_schemas.Embedding, or nothing, for dictionaries."
        )


class OutputReader(Generic[Output]):
    """How the outputs of a job are read."""

    def __init__(self, output: type[Output] | None) -> None:
        """`output` is the class; without it, outputs stay dictionaries."""
        self.output = output

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
