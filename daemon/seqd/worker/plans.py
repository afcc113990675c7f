"""What the units of a group of jobs have in common, for one worker: found once, and kept.

Jobs are of one group that a plugin may be called for together: of one version, task, parameters and
roll-out, and what else `_fields` of `seqd.ledger.submissions` has them agree in.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from pydantic import ValidationError

from seqd.admission import UNIT_OUTPUT_CHARACTERS, most_written
from seqd.errors import InvalidParameters, UnknownModel
from seqd.hookspecs import Model, PluginParameters
from seqd.ledger.work import Claim
from seqd.plugin.calls import PluginCall
from seqd.validation import fault_sentence
from seqd.worker.accepted_schemas import AcceptedSchemas
from seqd.worker.computing import TaskCall
from seqd.worker.context import WorkerContext
from seqd.worker.faults import sentence_of
from seqd.worker.labelling import Labelling
from seqd_schemas import GenerateJob, ModelReference, RunJob

log = logging.getLogger(__name__)

#: Groups whose plans are kept. A plan is made in a fraction of a millisecond.
MAX_KEPT = 256

#: Parameters that differ from job to job and cost nothing.
_FREE_PARAMETERS = {"seed"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a worker runs the units of a group of jobs."""

    model: str
    version: int
    #: The plugin's model that it is made with, and the version of the plugin here.
    plugin: str
    plugin_version: str
    task: TaskCall
    #: What the plugin is called with.
    parameters: PluginParameters
    #: What the jobs ask of their labels; None where they ask nothing.
    labelling: Labelling | None
    #: Characters that one item may have the plugin write; None of a task without a bound.
    written_each: int | None
    #: True where texts are published while they are written.
    streams: bool
    #: Names what costs alike: calls of this version with these parameters.
    cost_kind: str

    @property
    def ref(self) -> str:
        """Return the version as `topics@2`."""
        return f"{self.model}@{self.version}"

    def fits(self, items: int) -> bool:
        """Return True where a unit of so many items writes no more than one may.

        A larger one was not cut by `admit`: the items of an inline job are one unit, however many.
        """
        return self.written_each is None or self.written_each * items <= UNIT_OUTPUT_CHARACTERS


class Plans:
    """The plans of one worker."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._schemas = AcceptedSchemas(context.ledger)
        #: By group.
        self._kept = dict[str, Plan]()

    def of(self, claim: Claim) -> Plan:
        """Return the plan of a claim's group.

        Raises UnknownModel for a model that is not here any more, and InvalidParameters.
        """
        plan = self._kept.get(claim.group)
        if plan is None or self._context.store.plugin_of(plan.model) != plan.plugin:
            plan = self._made(claim)
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[claim.group] = plan
        return plan

    def _made(self, claim: Claim) -> Plan:
        context, job = self._context, claim.job
        if claim.version is None:
            raise UnknownModel(f"The job on {job.model} names no version; hand it in again.")
        name = ModelReference.parse(job.model).name
        model = context.described(name)
        task = TaskCall.of(job, model)
        spec, plugin = model.tasks[task.task], context.plugin_running(name)
        if claim.task_schema is not None:
            named = f"{plugin.name} {plugin.version}"
            task = replace(task, accepted=self._schemas.outputs(claim.task_schema, spec, named))
        given = checked_parameters(job.model, model, task.task, job.parameters)
        labelling = Labelling.of(job, given)
        asked = given if labelling is None else labelling.parameters(given)
        written_each = None
        if spec.bound is not None:
            written_each = most_written(spec.bound, asked.model_dump(mode="json")).characters
        return Plan(
            model=name,
            version=claim.version,
            plugin=context.store.plugin_of(name),
            plugin_version=plugin.version,
            task=task,
            parameters=asked,
            labelling=labelling,
            written_each=written_each,
            streams=isinstance(job, GenerateJob | RunJob) and job.stream,
            cost_kind=f"{name}@{claim.version} {task.task} {_digest(asked)}",
        )


def checked_parameters(
    ref: str, model: Model, task: str, given: Mapping[str, object]
) -> PluginParameters:
    """Return the parameters that a task is given, validated. Raises InvalidParameters.

    `ref` is what the model is called.
    """
    try:
        with PluginCall():
            return model.tasks[task].parameters.model_validate(given)
    except ValidationError as error:
        fault = fault_sentence(error, noun="parameter")
        raise InvalidParameters(f"{ref} {task}: {fault}.") from None
    except Exception as error:
        log.exception("parameters of model=%s refused", ref)
        raise InvalidParameters(f"{ref} {task}: {sentence_of(error)}.") from None


def _digest(parameters: PluginParameters) -> str:
    text = parameters.model_dump_json(exclude=_FREE_PARAMETERS)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
