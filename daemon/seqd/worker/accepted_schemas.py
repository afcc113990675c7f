"""Holds outputs of a plugin's own task against the schema that their job was accepted with.

A job keeps to that schema to its end, whichever version of the plugin computes it: whoever handed
it in reads its results by it. Where the worker's plugin states another one, what it gives is
checked against both. An output that does not fit is the error of its own item.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel

from seqd.errors import wire_text
from seqd.ledger import Ledger
from seqd.models.task_schemas import task_schema
from seqd.parameters import allowed
from seqd.validation import shown
from seqd.worker.outcomes import Call, CheckedJson, Outcome, checked
from seqd_schemas import ItemError, ItemErrorCode

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from seqd.hookspecs import TaskSpec
    from seqd.parameters import Schema

log = logging.getLogger(__name__)

#: Schemas that a worker keeps of those that its plugins do not state.
MAX_KEPT = 64

#: Digits of a digest that a message shows.
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class AcceptedOutputs:
    """The schema of the outputs that a job was accepted with, and that of the plugin here."""

    accepted: str
    here: str
    #: The plugin and its version, `tasks 1.1`.
    plugin: str
    validator: "Validator"

    def checking(self, call: Call, output: type[BaseModel]) -> Call:
        """Return a call whose outputs keep to both schemas; those that do not are errors."""

        return lambda items: [self._checked(outcome, output) for outcome in call(items)]

    def _checked(self, outcome: object, output: type[BaseModel]) -> Outcome:
        kept = checked(outcome, output)
        if not isinstance(kept, CheckedJson):
            return kept
        fault = next(iter(self.validator.iter_errors(kept)), None)
        return kept if fault is None else self._error(fault)

    def _error(self, fault: "ValidationError") -> ItemError:
        message = (
            f"The output does not fit the schema that the job was accepted with "
            f"({self.accepted[:_SHOWN_DIGITS]}): {_sentence(fault)}. {self.plugin}, the plugin of "
            f"this worker, states another schema ({self.here[:_SHOWN_DIGITS]}). Hand the item in "
            "again: a new job is accepted with that."
        )
        return ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=wire_text(message))


def _sentence(fault: "ValidationError") -> str:
    """Say which field of an output is wrong, and what is allowed."""
    if not fault.absolute_path:
        return fault.message[:300]
    field = ".".join(str(part) for part in fault.absolute_path)
    range_in_words = allowed(cast("Schema", fault.schema))
    return f"{field} is {shown(fault.instance)}; allowed: {range_in_words}"


class AcceptedSchemas:
    """The schemas that jobs were accepted with, of those that the plugins here do not state."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._validators: dict[str, Validator] = {}
        #: Digests of what plugins here state, by the classes of input and output.
        self._here: dict[tuple[object, object], str] = {}

    def outputs(self, accepted: str, spec: "TaskSpec", plugin: str) -> AcceptedOutputs | None:
        """Return what the outputs of a job must keep to beside the schema of the plugin here.

        None where that is the one that the job was accepted with; `accepted` is its digest.
        """
        classes = (spec.input, spec.output)
        here = self._here.get(classes) or self._here.setdefault(
            classes, task_schema(spec).digest or ""
        )
        if accepted == here:
            return None
        validator = self._validators.get(accepted) or self._read(accepted)
        return None if validator is None else AcceptedOutputs(accepted, here, plugin, validator)

    def _read(self, digest: str) -> "Validator | None":
        from jsonschema import Draft202012Validator  # 50 ms, paid where schemas differ

        schema = self._ledger.fleet.schemas_of_task(digest).get("result")
        if not isinstance(schema, Mapping):
            log.error(
                "Redis has lost the schema %s of a task; outputs are not held against it", digest
            )
            return None
        if len(self._validators) >= MAX_KEPT:
            self._validators.clear()
        validator = self._validators[digest] = Draft202012Validator(dict(schema))
        return validator
