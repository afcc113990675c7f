"""`seqd models rename`: another name for a model, with its versions, labels and history."""

from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import completion, options
from seqd.cli.auditing import store_act
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_json
from seqd.errors import InvalidRequest, WrongState

if TYPE_CHECKING:
    from seqd.models.store import ModelStore
    from seqd_schemas import JobRecord

#: Jobs that a refusal names.
_NAMED_JOBS = 3


def rename(
    model: Annotated[
        str, typer.Argument(help="A model: topics.", autocompletion=completion.models)
    ],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Its new name: subjects.")],
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked", help="Ask no daemon whether a job names it; such a job would fail."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Give a model another name: its versions, labels and history move along.

    Refused while an open job names it, a training among them. Its old name goes to no other model.
    """
    from seqd.cli.models.retiring import retired

    if "@" in model:
        name = model.partition("@")[0]
        raise InvalidRequest(f"{model!r} names a version; allowed: a model, such as {name}")
    local = options.open_local_models(options.read_settings())
    store = local.store
    store.check_rename(model, new_name)
    for name in (model, new_name):
        if name in local.registry.models:
            raise InvalidRequest(f"{name} is a plugin's own model, and keeps its name")
    if unchecked:
        store.rename(model, new_name)
    else:
        with retired(store, model, store.numbers(model), "renames") as jobs:
            _refuse_open(model, jobs)
            with store_act("models.rename", model, {"to": new_name}):
                store.rename(model, new_name)
        _wait_until_published(store, new_name)
    if as_json:
        print_json({"model": new_name, "before": model, "versions": store.numbers(new_name)})
    else:
        Screen().say(f"{model} is called {new_name} now.", "bold green")


def _wait_until_published(store: "ModelStore", name: str) -> None:
    """Wait until jobs can name the model by its new name, where a worker is up."""
    from seqd.worker.promotion import wait_until_published

    with options.open_ledger() as ledger:
        if not ledger.fleet.workers():
            return
        wait_until_published(
            ledger,
            store,
            name,
            lambda entry: bool(entry.versions),
            lambda text: Screen(to_stderr=True).say(text, "yellow"),
        )


def _refuse_open(model: str, jobs: "list[JobRecord]") -> None:
    if not jobs:
        return
    named = ", ".join(job.job_id for job in jobs[:_NAMED_JOBS])
    more = f" and {len(jobs) - _NAMED_JOBS:,} more" if len(jobs) > _NAMED_JOBS else ""
    which = "job is" if len(jobs) == 1 else "jobs are"
    raise WrongState(
        f"{model} is not renamed: {len(jobs):,} open {which} on it: {named}{more}. Wait for their "
        "end, or cancel them: seqd jobs cancel"
    )
