"""Outputs of plugins' own tasks, read as the class that the caller names.

A service needs no plugin for that: the class may be the plugin's, one of `seqd_schemas` such as
`Embedding`, or the service's own. Fields that the class does not have are left out.
"""

from typing import cast

from pydantic import BaseModel, ValidationError

from seqd.errors import InvalidRequest, OutputMismatch
from seqd.validation import fault_sentence
from seqd_schemas import ItemFailure, ItemSuccess, Output


def check_output_class(output: object) -> None:
    """Raise InvalidRequest for what no output can be read as."""
    if not (isinstance(output, type) and issubclass(output, BaseModel)):
        raise InvalidRequest(
            f"output is {output!r:.80}; allowed: a pydantic model, such as "
            "seqd_schemas.Embedding, or nothing, for dictionaries."
        )


def typed_result(
    result: "ItemSuccess[object] | ItemFailure", output: type[Output] | None
) -> "ItemSuccess[Output] | ItemFailure":
    """Return a result whose output is an `output`; raises OutputMismatch where it is none."""
    if output is None or isinstance(result, ItemFailure) or not isinstance(result.output, dict):
        return cast("ItemSuccess[Output] | ItemFailure", result)
    read = cast("type[BaseModel]", output)
    try:
        made = read.model_validate(result.output, extra="ignore")
    except ValidationError as error:
        raise OutputMismatch(
            f"The output of item {result.custom_id!r} is no {read.__name__}: "
            f"{fault_sentence(error)}. Read the job without `output`, or with the class that the "
            "task states."
        ) from None
    return cast("ItemSuccess[Output]", result.model_copy(update={"output": made}))
