"""`Predictor`: one version of a model as a function of batches, loaded once a process.

It has names and settings alone, so a copy of it that an engine sends to another process loads the
version there, when it is first called.
"""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast, overload

from seqd.batch.columns import Batch, batch_of
from seqd.client.tables import Columns, Table, Type, Vectors, table_of_outputs
from seqd.errors import (
    InvalidInput,
    InvalidRequest,
    InvalidSettings,
    PluginFault,
    SeqdError,
    UnusableSlot,
)
from seqd.hookspecs import Device, LoadedModel, Model, PluginParameters
from seqd.inputs.items import ItemRules, task_rules
from seqd.kinds import CLASSIFY, GENERATE, TRAIN, kind_of_task
from seqd.local.kernel_folder import keep_kernels
from seqd.local.pinning import given_slot
from seqd.local.slots import Slot
from seqd.models.catalog import versions_zero
from seqd.models.registry import Registry
from seqd.models.shared_store import shared_store
from seqd.models.store import ModelStore
from seqd.models.task_schemas import task_schema
from seqd.objects import SCHEME
from seqd.plugin.decorated import QuietContext
from seqd.settings import load_settings
from seqd.validation import did_you_mean, listed
from seqd.worker.computing import TaskCall, call_of, results_alone
from seqd.worker.context import ModelCache
from seqd.worker.faults import Unfit, device_error, sentence_of
from seqd.worker.labelling import PROBABILITIES
from seqd.worker.plans import checked_parameters
from seqd_schemas import (
    ITEM_COLUMNS,
    Classification,
    Item,
    JsonOutput,
    ModelReference,
    ParameterValue,
    RefusedItem,
)
from seqd_schemas.results import Output

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from numpy.typing import NDArray

    from seqd.client import Result

    class _ArrowBatch(Protocol):
        """A table or a record batch of pyarrow, which has no types."""

        schema: pyarrow.Schema

        def to_pylist(self) -> list[dict[str, Any]]:
            """Return the rows."""

    _Batch = TypeVar("_Batch", pandas.DataFrame, "dict[str, NDArray[Any]]", _ArrowBatch)


class Predictor(Generic[Output]):
    """A version of a model, as a function of batches.

    Of a batch of columns (`pyarrow.Table` or `RecordBatch`, a dict of NumPy arrays, a data frame of
    pandas) it returns the batch with columns for the fields of the outputs, and with `error_code`
    and `error_message`, which are null but for rows that have no output. A column whose name the
    batch has already gets `output_` in front. Of a list of texts it returns the results in order,
    as `job.results()` does.

    The columns need pyarrow or pandas where the batch is theirs. Threads may share it: they are
    served one after the other.
    """

    @overload
    def __init__(
        self: "Predictor[Classification]",
        model: str,
        *,
        task: Literal["classify"] = ...,
        parameters: Mapping[str, ParameterValue] | None = None,
        store: str | Path | None = None,
        text_field: str = "text",
    ) -> None: ...
    @overload
    def __init__(
        self: "Predictor[JsonOutput]",
        model: str,
        *,
        task: str,
        parameters: Mapping[str, ParameterValue] | None = None,
        store: str | Path | None = None,
        text_field: str = "text",
    ) -> None: ...
    def __init__(
        self,
        model: str,
        *,
        task: str = CLASSIFY,
        parameters: Mapping[str, ParameterValue] | None = None,
        store: str | Path | None = None,
        text_field: str = "text",
    ) -> None:
        """Check what is asked for, and load nothing but plugins.

        `model` is `name@3`; of a name, or `name@label`, the version that it means now is taken.
        `store` is the folder of the model store, or its URL, by default that of SEQD_STORE_URL or
        `models` in SEQD_DATA_DIR.
        `text_field` is the column with the texts; of a task that takes records, columns have the
        names of their fields. Raises UnknownModel, InvalidRequest for a task that the model has
        not, InvalidParameters, and InvalidSettings where there is no store.
        """
        is_url = str(store or "").startswith(SCHEME)
        if store is not None and not is_url and not Path(store).is_dir():
            raise InvalidSettings(
                f"There is no model store in {store}, which is no folder. The store of a daemon "
                "is the folder `models` in its SEQD_DATA_DIR."
            )
        settings = load_settings()
        place = store or settings.store_url or settings.store_dir
        #: The URL of the model store, or its folder.
        self._store = str(place if str(place).startswith(SCHEME) else Path(place).absolute())
        self._task = task
        self._parameters = dict(parameters or {})
        self._text_field = text_field
        opened = _plugins_and_store(self._store)[1]
        opened.refresh()
        name, version = opened.resolve(model)
        self._version = ModelReference(name, version)
        self._plan()

    @property
    def model(self) -> str:
        """The version that it has, such as `imdb_lstm@3`."""
        return str(self._version)

    @property
    def needs_gpu(self) -> bool:
        """True of a model that runs on a GPU alone."""
        return self._plan().model.needs.device == "gpu"

    @property
    def unit_items(self) -> int:
        """Items that the model's plugin gets at a time, at most."""
        return self._plan().unit_items

    @overload
    def __call__(self, batch: "_Batch") -> "_Batch": ...
    @overload
    def __call__(self, batch: Sequence[str | Mapping[str, object]]) -> "list[Result[Output]]": ...
    def __call__(self, batch: object) -> object:
        """Return a batch with what the model says of each row, or the results of a list.

        The first call in a process loads the version. Raises InvalidInput for a batch without the
        column, or with one that holds no texts; InvalidSettings where the folder of the store is
        not here; PluginFault, ArtifactDamaged and UnusableSlot where the version cannot be loaded
        or run here; never for what single rows hold.
        """
        plan = self._plan()
        if isinstance(batch, list | tuple):
            return self._results(plan, batch)
        given, field = batch_of(batch), self._text_field
        rows = given.rows(self._columns_for(plan.rules, given))
        is_text = plan.rules.fields is None
        # A text alone has no other field, such as an identifier.
        values = (
            row[field]
            if is_text and isinstance(row, Mapping) and isinstance(row[field], str)
            else row
            for row in rows
        )
        return _with_results(given, plan, self._results(plan, values))

    def _plan(self) -> "_Plan":
        """Return how batches are run. Raises UnknownModel, InvalidRequest, InvalidParameters.

        And InvalidSettings where the store is a folder that this machine does not have.
        """
        registry, store = _plugins_and_store(self._store)
        if self._version.version not in store.numbers(self._version.name):
            if not self._store.startswith(SCHEME) and not Path(self._store).is_dir():
                raise InvalidSettings(
                    f"There is no model store in {self._store} on this machine "
                    f"({socket.gethostname()}), so {self.model} is not there. Name a folder that "
                    "all machines see, or a URL, as store."
                )
            store.refresh()  # it was published after this process had looked
        model = registry.model(store.plugin_of(self._version.name))
        tasks = [name for name in model.tasks if name not in (GENERATE, TRAIN)]
        if self._task not in tasks:
            raise InvalidRequest(
                f"{self.model} has no task {self._task!r} for batches. Its tasks: {listed(tasks)}."
                f"{did_you_mean(self._task, tasks)}"
            )
        spec, kind = model.tasks[self._task], kind_of_task(self._task)
        schema, field = task_schema(spec), self._text_field
        return _Plan(
            model,
            TaskCall.named(self._task, model),
            checked_parameters(self.model, model, self._task, self._parameters),
            spec.unit_items,
            ItemRules(text_field=field, allow_empty=kind.allows_empty)
            if kind.output is not None
            else task_rules(schema, text_field=field),
            table_of_outputs(kind.output, schema.result),
        )

    def _columns_for(self, rules: ItemRules, batch: Batch) -> list[str]:
        """Return the columns that items are made of. Raises InvalidInput where one is missing."""
        there = batch.names
        wanted = {self._text_field: True} if rules.fields is None else rules.fields
        for name, is_due in wanted.items():
            if there.count(name) > 1 or (is_due and name not in there):
                fault = "two columns" if name in there else "no column"
                cure = "Name the column with the text as text_field"
                if rules.fields is not None:
                    cure = f"A record of the task has the fields {listed(rules.fields)}"
                raise InvalidInput(
                    f"the batch has {fault} {name!r}; it has: {listed(map(str, there))}. {cure}"
                )
        kind = "" if rules.fields is not None else batch.not_texts(self._text_field)
        if kind:
            raise InvalidInput(
                f"the column {self._text_field!r} of the batch holds {kind}; allowed: strings. "
                "Name the column with the text as text_field"
            )
        found = [name for name in wanted if name in there]
        if not found:  # all fields of the record may be left out
            raise InvalidInput(
                "the batch has no column that is a field of a record; it has: "
                f"{listed(map(str, there))}. A record of the task has the fields {listed(wanted)}"
            )
        return found

    def _results(self, plan: "_Plan", values: Iterable[object]) -> "list[Result[Output]]":
        """Return the results of values, each a text or a record, in order."""
        entries = [plan.rules.item(value, number) for number, value in enumerate(values, start=1)]
        return self._results_of(plan, entries)

    def results_of(self, entries: Sequence[Item | RefusedItem]) -> "list[Result[Output]]":
        """Return the results of entries that were read already, in order."""
        return self._results_of(self._plan(), entries)

    def _results_of(
        self, plan: "_Plan", entries: Sequence[Item | RefusedItem]
    ) -> "list[Result[Output]]":
        if not entries:
            return []
        here = _process(self._store, _slot_for(plan.model), os.getpid())
        with here.lock:
            loaded = here.loaded(self._version)
            call = call_of(loaded, plan.task, plan.parameters, QuietContext(here.cache.device))
            try:
                results = results_alone(
                    loaded, plan.task, entries, call, at_once=plan.unit_items, ref=self.model
                )
            except Unfit as fault:  # which only a worker knows what to do with
                raise PluginFault(f"{self.model} cannot be run here: {fault}") from None
        return cast("list[Result[Output]]", results)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How batches are run: what the plugin is called with, and what is made of its outcomes."""

    model: Model
    task: TaskCall
    parameters: PluginParameters
    unit_items: int
    rules: ItemRules
    table: Table

    def columns(self) -> dict[str, Type | Vectors]:
        """Return the columns of results that a batch gets: of probabilities where it is asked."""
        is_asked = getattr(self.parameters, PROBABILITIES, True)
        left_out = {*ITEM_COLUMNS} if is_asked else {*ITEM_COLUMNS, PROBABILITIES}
        return {name: one for name, one in self.table.columns.items() if name not in left_out}


@dataclass(frozen=True, slots=True)
class _Process:
    """What this process has in memory of a store, on one device."""

    cache: ModelCache
    #: Held while a plugin is called: it is called by one thread at a time.
    lock: Lock

    def loaded(self, version: ModelReference) -> LoadedModel:
        """Return a version in memory. Raises what is wrong with it, or with this machine."""
        try:
            return self.cache.get(version.name, cast("int", version.version))
        except SeqdError:
            raise
        except Exception as error:
            said = f"{version} could not be loaded: {sentence_of(error)}"
            raise PluginFault(said) from error


#: Held while either of the next two is made.
_MAKING = RLock()


def _plugins_and_store(place: str) -> tuple[Registry, ModelStore]:
    with _MAKING:
        return _opened(place)


@lru_cache
def _opened(place: str) -> tuple[Registry, ModelStore]:
    settings = load_settings(store_url=place if place.startswith(SCHEME) else None)
    keep_kernels(settings.data_dir)
    registry = Registry.load(settings)
    root = Path(place) if settings.store_url is None else settings.store_dir
    store = ModelStore(root, versions_zero(registry), shared_store(settings))
    store.check_format()
    return registry, store


def _process(place: str, slot: Slot, pid: int) -> _Process:
    """Return what this process has; a copy of it that was forked has nothing."""
    with _MAKING:
        return _begun(place, slot, pid)


@lru_cache
def _begun(place: str, slot: Slot, pid: int) -> _Process:
    registry, store = _plugins_and_store(place)
    for name, value in slot.environment().items():
        os.environ.setdefault(name, value)  # what the engine has set stays
    device = Device(slot.name, slot.kind, slot.threads)
    if slot.kind == "gpu":
        try:
            registry.claim_device(device)
        except Exception as error:
            raise device_error(error) from error
    return _Process(ModelCache(registry, store, device, load_settings().model_cache_bytes), Lock())


def _slot_for(model: Model) -> Slot:
    """Return where a model runs in this process. Raises UnusableSlot."""
    slot = given_slot(model.needs.device)
    if model.needs.device not in ("any", slot.kind):
        raise UnusableSlot(
            f"{model.name} needs a GPU, and CUDA_VISIBLE_DEVICES of this process names none. Have "
            "the engine give it one, as Ray does by num_gpus=1."
        )
    return slot


def _with_results(batch: Batch, plan: _Plan, results: "Sequence[Result[object]]") -> object:
    """Return a batch with the columns of its results, a row for each of its own."""
    rows = [row for result in results for row in plan.table.rows_of(result)]
    taken, columns, types = set(batch.names), Columns(), dict[str, Type | Vectors]()
    for name, type_ in plan.columns().items():
        free = name
        while free in taken:
            free = f"output_{free}"
        taken.add(free)
        columns[free], types[free] = [row.get(name) for row in rows], type_
    return batch.with_columns(columns, types)
