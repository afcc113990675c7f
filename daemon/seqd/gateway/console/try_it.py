"""Try: a form made from the parameters of a model's task, its answer, and the same as commands."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from pydantic import JsonValue
from starlette.responses import Response

from seqd.errors import SeqdError
from seqd.gateway.bodies import ANSWER_S
from seqd.gateway.console.rendering import Page
from seqd.gateway.console.visits import BySubmitter, Visit, act, page
from seqd.gateway.refusals import message_of
from seqd.kinds import CLASSIFY, GENERATE, TRAIN
from seqd.ledger.model_pauses import pause_in_words
from seqd.parameters import Schema, allowed, fields_of, read_value, resolved, written_value
from seqd_schemas import (
    CatalogEntry,
    Classification,
    Generation,
    ModelPause,
    ParameterValue,
    Priority,
)

_TITLE: Final = "Try a model"

#: In front of a parameter's name in the form, beside which it has fields of its own.
_PARAMETER: Final = "p."

#: Checked in a new form: what the page shows more by.
_CHECKED: Final = ("probabilities",)

#: The route and field of the gateway, and the method of a client, by task.
_ROUTES: Final = {CLASSIFY: ("/v1/classify", "input"), GENERATE: ("/v1/completions", "prompt")}
_METHODS: Final = {CLASSIFY: "predict", GENERATE: "complete"}

_Tasks: TypeAlias = dict[tuple[str, str], CatalogEntry]
_Answer: TypeAlias = Classification | Generation | dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a visitor asks of a model."""

    model: str
    task: str
    text: str
    parameters: Mapping[str, ParameterValue]


@page("/try")
async def try_page(visit: BySubmitter) -> Page:
    """Show the form of a model's task, which `what` names, such as `imdb_lstm@3 classify`."""
    tasks = await _tasks(visit)
    if not tasks:
        return Page("try.html", _TITLE, {"asked": None})
    model, _, task = visit.request.query_params.get("what", "").partition(" ")
    name = model.partition("@")[0]
    pauses = await visit.seqd.paused_models()
    known = [one for one in tasks if one[0] == name and task in ("", one[1])]
    if not known:
        known = sorted(tasks, key=lambda one: one[0] in pauses)
        model = known[0][0]
    asked = _Asked(model, known[0][1], "", {})
    return Page("try.html", _TITLE, _facts(tasks, asked, None, pauses))


@act("/try")
async def tried(visit: BySubmitter) -> Page | Response:
    """Show the answer to what was filled in, or what is wrong with it, and the form as it was."""
    tasks, given = await _tasks(visit), visit.given()
    model, task = given.get("model", ""), given.get("task", "")
    entry = tasks.get((model.partition("@")[0], task))
    if entry is None:
        why = f"There is no model {model} any more that can {task}."
        return visit.back_to("/try", why, is_refused=True)
    values = dict(_values(entry.all_tasks[task].parameters, given))
    asked = _Asked(model, task, given.get("text", "").replace("\r\n", "\n"), values)
    pauses, tenant = await visit.seqd.paused_models(), visit.caller.tenant
    facts = _facts(tasks, asked, given, pauses)
    if entry.model in pauses and "as_job" not in given:
        return Page("try.html", _TITLE, facts)
    try:
        if task == GENERATE and "as_job" in given:
            job = await visit.seqd.generate(
                [asked.text],
                model=model,
                parameters=values,
                priority=Priority.INTERACTIVE,
                tenant=tenant,
                stream=True,
            )
            await job.uploaded()
            return visit.back_to(f"/jobs/{job.job_id}")
        method, arguments = _call(asked)
        asking = getattr(visit.seqd, method)
        answer = await asking(asked.text, tenant=tenant, timeout_s=ANSWER_S, **arguments)
        facts |= _shown(answer)
        facts["commands"] = _commands(asked, str(visit.request.base_url).rstrip("/"))
    except SeqdError as error:
        facts["fault"] = message_of(error)
    except TimeoutError as error:
        facts["fault"] = str(error)
    return Page("try.html", _TITLE, facts)


async def _tasks(visit: Visit) -> _Tasks:
    """Return the models that can do something with a text, by name and task."""
    return {
        (name, task): entry
        for name, entry in sorted((await visit.seqd.seen_models(visit.only_tenant)).items())
        for task, schema in entry.all_tasks.items()
        if task != TRAIN and schema.input is None and entry.versions
    }


def _facts(
    tasks: _Tasks,
    asked: _Asked,
    given: Mapping[str, str] | None,
    pauses: Mapping[str, ModelPause],
) -> dict[str, object]:
    """Return what the form shows: what it has by itself, or what was `given`."""
    name = asked.model.partition("@")[0]
    entry = tasks[name, asked.task]
    known = entry.all_tasks[asked.task]
    versions = [*entry.labels, *(one.version for one in reversed(entry.versions))]
    names = [name, *(f"{name}@{one}" for one in versions), asked.model]
    root, pause = known.parameters, pauses.get(name)
    whats = {f"{one} {task}": " (paused)" if one in pauses else "" for one, task in tasks}
    return {
        "tasks": {what: what + more for what, more in whats.items()},
        "what": f"{name} {asked.task}",
        "summary": known.summary or entry.summary,
        "asked": asked,
        "models": {one: one for one in names} | {name: f"{name} (in service)"},
        "fields": {f"{_PARAMETER}{one}": _field(one, root, given) for one in fields_of(root)},
        "pause": pause and f"{name} is {pause_in_words(pause)}. It answers once it is resumed.",
        "fault": "",
        "commands": {},
    }


def _field(name: str, root: Schema, given: Mapping[str, str] | None) -> dict[str, object]:
    """Return a parameter as a field of the form."""
    schema = fields_of(root)[name]
    found, default = _plain(schema, root), schema.get("default")
    value, told = (given or {}).get(f"{_PARAMETER}{name}", ""), str(schema.get("description", ""))
    is_checked, unsaid = None, "" if default is None else written_value(default)
    if found.get("type") == "boolean":
        is_checked = default is True or name in _CHECKED if given is None else value == "on"
    else:
        told += f" Allowed: {allowed(schema, root)}."
    choices = [written_value(one) for one in cast("Sequence[JsonValue]", found.get("enum", ()))]
    return {
        "label": name,
        "value": value,
        "default": unsaid,
        "told": told,
        "is_checked": is_checked,
        "choices": choices and {"": f"{unsaid} (default)"} | {one: one for one in choices},
    }


def _plain(schema: Schema, root: Schema) -> Schema:
    """Return a field's schema; of one that may be null that of what it is else."""
    found = resolved(schema, root)
    parts = [resolved(one, root) for one in cast("Sequence[Schema]", found.get("anyOf", ()))]
    parts = [one for one in parts if one.get("type") != "null"]
    return parts[0] if len(parts) == 1 else found


def _values(root: Schema, given: Mapping[str, str]) -> Iterator[tuple[str, ParameterValue]]:
    """Yield the parameters that were filled in; what is blank is left to the model."""
    for name, schema in fields_of(root).items():
        found, text = _plain(schema, root), given.get(f"{_PARAMETER}{name}", "")
        if found.get("type") == "boolean":
            is_on = text == "on"
            if is_on is not schema.get("default"):
                yield name, is_on
        elif text and found.get("type") == "string":
            yield name, text
        elif text:
            value = read_value(text)
            yield name, text if isinstance(value, dict) else value


def _call(asked: _Asked) -> tuple[str, dict[str, object]]:
    """Return which method of a client asks that, and its arguments behind the text."""
    method = _METHODS.get(asked.task, "run_one")
    arguments: dict[str, object] = {"model": asked.model}
    if method == "run_one":
        arguments["task"] = asked.task
    return method, arguments | ({"parameters": asked.parameters} if asked.parameters else {})


def _shown(answer: _Answer) -> dict[str, object]:
    """Return an answer as the page shows it."""
    if isinstance(answer, Classification):
        ordered = sorted((answer.probabilities or {}).items(), key=lambda one: -one[1])
        return {"found": answer, "probabilities": ordered}
    if isinstance(answer, Generation):
        return {"samples": answer.samples}
    return {"output": json.dumps(answer, ensure_ascii=False, indent=2)}


def _commands(asked: _Asked, address: str) -> dict[str, str]:
    """Return what asks the same elsewhere: for a shell with curl, in Python, and as a command."""
    commands = {"Python": _python(asked), "Command line": _command_line(asked)}
    route = _ROUTES.get(asked.task)
    if route is None:
        return commands
    path, field = route
    body: dict[str, object] = {"model": asked.model, field: asked.text}
    body |= {"parameters": asked.parameters} if asked.parameters else {}
    lines = (
        f"curl -sS {shlex.quote(address + path)}",
        '-H "authorization: Bearer $SEQD_KEY"',
        "-H 'content-type: application/json'",
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    )
    return {"curl": " \\\n  ".join(lines), **commands}


def _python(asked: _Asked) -> str:
    method, named = _call(asked)
    arguments = [repr(asked.text), *(f"{name}={value!r}" for name, value in named.items())]
    lines = "".join(f"        {one},\n" for one in arguments)
    return (
        "from seqd.client import Client\n\n"
        f"with Client() as client:\n    answer = client.{method}(\n{lines}    )\nprint(answer)"
    )


def _command_line(asked: _Asked) -> str:
    parts = {
        CLASSIFY: ["classify", f"--model={asked.model}", f"--text={asked.text}"],
        GENERATE: ["generate", asked.model, f"--prompt={asked.text}"],
    }.get(asked.task, ["run", asked.model, asked.task, f"--text={asked.text}"])
    parts += [f"--param={name}={written_value(value)}" for name, value in asked.parameters.items()]
    return shlex.join(["seqd", *parts])
