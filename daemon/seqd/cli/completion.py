"""What a shell offers at the Tab key: models, versions, presets, parameters, tenants and jobs.

Commands and options are typer's own; here are the values that stand in Redis. Where Redis is away,
slow or refuses, nothing is offered, within a second, and nothing is ever printed beside the answer.

What is offered, and its explanation, has only characters that no shell gives a meaning to: plugins,
and whoever may write into Redis, must not have them run.
"""

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, TypeVar, cast

import typer

if TYPE_CHECKING:
    from seqd.ledger import Ledger
    from seqd.parameters import Schema
    from seqd_schemas import CatalogEntry, JobKind, JobRecord

T = TypeVar("T")

#: A value and what explains it.
Offer = tuple[str, str]

#: The variable by which the shell's function asks; see typer.
VARIABLE: Final = "_SEQD_COMPLETE"

#: Longest that Redis is waited for, for each of its answers.
LOOKUP_S: Final = 0.5

#: Longest that reading takes once Redis has answered: a busy machine reads slowly.
_READ_S: Final = 3.0

#: Jobs that are offered, the newest.
MAX_JOBS: Final = 100

#: Characters of an explanation.
_MAX_HELP: Final = 80

_SAFE = re.compile(r"[A-Za-z0-9_.,@=:/+-]{1,128}")
_UNSAFE_IN_HELP = re.compile(r"[^A-Za-z0-9 _.,/+-]+")

#: Characters at which bash breaks words, that stand within ours; see `COMP_WORDBREAKS`.
_BREAKS: Final = "=@:"

#: Of these commands only jobs are offered that have not ended.
_OF_OPEN_JOBS: Final = ("cancel", "pause")


def tasks(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the tasks of the command's model."""
    from seqd.kinds import SERVED_TASKS, TRAIN

    entry = _entry(ctx)
    names = (*SERVED_TASKS, TRAIN) if entry is None else entry.all_tasks
    return _safe(((name, "") for name in names), incomplete)


def models(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer models that the command can use; behind an `@`, versions and labels."""
    entries = _catalog()
    name, at, _ = incomplete.partition("@")
    if at:
        entry = entries.get(name)
        return [] if entry is None else _safe(_versions_of(entry), incomplete)
    task, is_run = _task_of(ctx), ctx.info_name == "run"
    fitting = (
        entry
        for entry in entries.values()
        if (entry.run_tasks if is_run else task is None or task in entry.all_tasks)
    )
    return _safe(((entry.model, entry.summary) for entry in fitting), incomplete)


def run_tasks(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the tasks that the plugin of the command's model has named."""
    entry = _entry(ctx)
    tasks = {} if entry is None else entry.run_tasks
    return _safe(((name, task.summary) for name, task in tasks.items()), incomplete)


def presets(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the presets of the command's model."""
    entry = _entry(ctx)
    return [] if entry is None else _safe(((name, "") for name in entry.presets), incomplete)


def parameters(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer `NAME=` of the parameters of the command's model; behind it, values that are named."""
    from seqd.kinds import TRAIN

    entry = _entry(ctx)
    name = _typed_task(ctx) if ctx.info_name == "run" else _task_of(ctx) or TRAIN
    task = None if entry is None else entry.all_tasks.get(name)
    fields = {} if task is None else task.parameters.get("properties")
    if not isinstance(fields, dict):
        return []
    name, equals, _ = incomplete.partition("=")
    described = {key: cast("Schema", field) for key, field in fields.items()}
    matching = [key for key in described if key.startswith(name)]
    if equals:
        matching = [key for key in matching if key == name]
    if len(matching) != 1:
        return _safe(((f"{key}=", _help_of(described[key])) for key in matching), incomplete)
    (name,) = matching
    values = _values_of(described[name])
    # Two at least, so that the shell does not go on to the next word.
    offers = [(f"{name}=", _help_of(described[name])), *((f"{name}={v}", "") for v in values)]
    return _safe(offers[1:] if equals else offers, incomplete)


def tenants(incomplete: str) -> list[Offer]:
    """Offer tenants that have limits, work or results."""
    nobody: frozenset[str] = frozenset()
    names = sorted(_ask(lambda ledger: ledger.tenants.names(), nobody))
    return _safe(((name, "") for name in names), incomplete)


def jobs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the newest jobs."""
    only_open = ctx.info_name in _OF_OPEN_JOBS

    def newest(ledger: "Ledger") -> "list[JobRecord]":
        return (ledger.jobs.newest_open if only_open else ledger.jobs.newest)(MAX_JOBS)

    none: list[JobRecord] = []
    offers = ((job.job_id, f"{job.kind} {job.model}, {job.state}") for job in _ask(newest, none))
    return _safe(offers, incomplete)


def answer(run: Callable[[], object], environment: MutableMapping[str, str]) -> int:
    """Answer the shell by running the command line, and return the exit status.

    Prints what is offered, and nothing else, whatever goes wrong.
    """
    is_bash = environment.get(VARIABLE) == "complete_bash"
    prefix = _join_words_of_bash(environment) if is_bash else ""
    written = io.BytesIO()
    printed = io.TextIOWrapper(written, encoding="utf-8", newline="\n")
    status = 0
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        try:
            run()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
        except BaseException:  # noqa: BLE001 - there is nobody to tell
            status = 1
    printed.flush()
    said = written.getvalue().decode()
    lines = [line for line in said.splitlines() if line] if status == 0 else []
    with suppress(OSError):
        sys.stdout.write("".join(f"{line.removeprefix(prefix)}\n" for line in lines))
        sys.stdout.flush()
    return status


def _join_words_of_bash(environment: MutableMapping[str, str]) -> str:
    """Join what bash has split at `=`, `@` and `:`; return what it keeps of the last word."""
    words = environment.get("COMP_WORDS", "").split("\n")
    number = environment.get("COMP_CWORD", "")
    at = int(number) if number.isdigit() else len(words) - 1
    joined: list[str] = []
    is_open = False
    for word in [*words, ""][: at + 1]:
        is_break = bool(word) and not word.strip(_BREAKS)
        if joined and (is_break or (is_open and word and not word.startswith("-"))):
            joined[-1] += word
        else:
            joined.append(word)
        is_open = is_break
    environment["COMP_WORDS"] = "\n".join(joined)
    environment["COMP_CWORD"] = str(len(joined) - 1)
    end = max(joined[-1].rfind(mark) for mark in _BREAKS)
    # An `@` is part of the word that bash puts the offer in the place of.
    return joined[-1][: end + (joined[-1][end] != "@") if end >= 0 else 0]


def _safe(offers: Iterable[Offer], incomplete: str) -> list[Offer]:
    """Return what begins like the word and has no character that a shell could run."""
    return [
        (value, " ".join(_UNSAFE_IN_HELP.sub(" ", text).split())[:_MAX_HELP])
        for value, text in offers
        if value.startswith(incomplete) and _SAFE.fullmatch(value)
    ]


def _versions_of(entry: "CatalogEntry") -> Iterator[Offer]:
    labels: dict[int, list[str]] = {}
    for label, number in sorted(entry.labels.items()):
        yield f"{entry.model}@{label}", f"version {number}"
        labels.setdefault(number, []).append(label)
    for version in reversed(entry.versions):
        names = labels.get(version.version, [])
        yield f"{entry.model}@{version.version}", ", ".join(names)


def _task_of(ctx: typer.Context) -> "str | None":
    """Return what the command asks of a model; None where it may be anything."""
    from seqd.kinds import KINDS

    kind = KINDS.get(cast("JobKind", ctx.info_name))
    return None if kind is None else kind.task


def _typed_task(ctx: typer.Context) -> str:
    """Return the task that was typed behind the model."""
    typed = ctx.params.get("task") or next(iter(ctx.args[1:2]), "")
    return str(typed)


def _entry(ctx: typer.Context) -> "CatalogEntry | None":
    """Return the catalog's entry of the model that was typed, or that the command takes."""
    typed = ctx.params.get("model")
    if not typed and ctx.command.params and ctx.args:
        typed = ctx.args[0]  # an argument in front of an option without its value is left there
    if not typed:
        typed = next((part.default for part in ctx.command.params if part.name == "model"), None)
    return _catalog().get(str(typed).partition("@")[0])


def _help_of(field: "Schema") -> str:
    return str(field.get("description", "")) if isinstance(field, dict) else ""


def _values_of(field: "Schema") -> list[str]:
    """Return values of a parameter: all where they are named, else its default."""
    import json

    if not isinstance(field, dict):
        return []
    named = field.get("enum")
    if isinstance(named, list):
        return [str(value) for value in named]
    if field.get("type") == "boolean":
        return ["true", "false"]
    default = field.get("default")
    if default is None:
        return []
    return [default if isinstance(default, str) else json.dumps(default, separators=(",", ":"))]


def _catalog() -> "dict[str, CatalogEntry]":
    return _ask(lambda ledger: ledger.fleet.catalog(), {})


def _ask(read: "Callable[[Ledger], T]", nothing: T) -> T:
    """Return what is read from Redis, or else nothing: an answer is waited for `LOOKUP_S`."""
    from seqd.ledger import Ledger, connect
    from seqd.local.endpoint import redis_url_of
    from seqd.local.redis_access import RedisAccess
    from seqd.settings import load_settings

    found: list[T] = []
    settings, has_answered = load_settings(), Event()

    def look() -> None:
        with suppress(Exception):
            url = redis_url_of(settings, patience_s=0.0)
            access = RedisAccess.of(settings)
            with connect(url, retries=0, timeout_s=LOOKUP_S, access=access) as redis:
                redis.ping()
                has_answered.set()
                found.append(read(Ledger(redis, settings)))
        has_answered.set()  # nothing will come

    # A daemon, since nothing ends the look-up of a name that no server answers.
    thread = Thread(target=look, name="seqd-completion", daemon=True)
    thread.start()
    if has_answered.wait(LOOKUP_S):
        thread.join(_READ_S)
    return found[0] if found else nothing
