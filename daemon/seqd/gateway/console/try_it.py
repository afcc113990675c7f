"""Try: a form made from the parameters of a model's task, its answer, and the same as commands."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from fastapi import APIRouter, Request
from pydantic import JsonValue
from starlette.responses import Response

from seqd.client.requests import AnswerOptions
from seqd.errors import ItemFailed, SeqdError
from seqd.gateway.bodies import ANSWER_S
from seqd.gateway.callers import Caller, SeqdClient, Submitter
from seqd.gateway.console.rendering import Page, back_to, page, rendered
from seqd.gateway.console.visits import Form, field_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.refusals import message_of
from seqd.kinds import CLASSIFY, GENERATE, TRAIN
from seqd.parameters import Schema, allowed, fields_of, resolved
from seqd_schemas import CatalogEntry, Classification, Generation, ParameterValue, Priority

router = APIRouter(include_in_schema=False)

_TITLE: Final = "Try a model"

#: In front of a parameter's name in the form, beside which it has fields of its own.
_PARAMETER: Final = "p."

#: Checked in a new form: what the page shows more by.
_CHECKED: Final = ("probabilities",)

#: The field of a form by the type of a parameter; of any other it is a text.
_KINDS: Final = {"boolean": "checkbox", "integer": "number", "number": "number"}

#: The route and field of the gateway, and the method of a client, by task.
_ROUTES: Final = {CLASSIFY: ("/v1/classify", "input"), GENERATE: ("/v1/completions", "prompt")}
_METHODS: Final = {CLASSIFY: "predict", GENERATE: "complete"}

_Tasks: TypeAlias = dict[tuple[str, str], CatalogEntry]
_Answer: TypeAlias = Classification | Generation | dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class _Field:
    """A parameter as a field of the form."""

    name: str
    label: str
    #: `checkbox`, `select`, `number` or `text`.
    kind: str
    #: What was filled in; `on` of a checkbox.
    value: str
    #: What it is where it is left blank.
    default: str
    #: What is allowed, and what it is.
    help: str
    described: str
    #: Attributes of a number: min, max and step.
    bounds: Mapping[str, JsonValue]
    choices: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a visitor asks of a model."""

    model: str
    task: str
    text: str
    parameters: Mapping[str, ParameterValue]


@router.get("/try")
@page
async def try_page(request: Request, caller: Submitter, seqd: SeqdClient) -> Page:
    """Show the form of a model's task, which `what` names, such as `imdb_lstm@3 classify`."""
    tasks = await _tasks(caller, seqd)
    if not tasks:
        return Page("try.html", _TITLE, {"tasks": tasks})
    model, _, task = request.query_params.get("what", "").partition(" ")
    name = model.partition("@")[0]
    known = [one for one in tasks if one[0] == name and task in ("", one[1])]
    if not known:
        model = name = next(iter(tasks))[0]
        known = [one for one in tasks if one[0] == name]
    asked = _Asked(model, known[0][1], "", {})
    return Page("try.html", _TITLE, _facts(tasks, asked, None))


@router.post("/try")
async def tried(request: Request, form: Form, caller: Submitter, seqd: SeqdClient) -> Response:
    """Show the answer to what was filled in, or what is wrong with it, and the form as it was."""
    tasks = await _tasks(caller, seqd)
    model, task = field_of(form, "model"), field_of(form, "task")
    if (model.partition("@")[0], task) not in tasks:
        why = f"There is no model {model} any more that can {task}."
        return back_to(request, "/try", why, is_refused=True)
    schema = tasks[model.partition("@")[0], task].all_tasks[task].parameters
    given = {name: field_of(form, name) for name in form}
    values = dict(_values(schema, given))
    asked = _Asked(model, task, field_of(form, "text").replace("\r\n", "\n"), values)
    facts = _facts(tasks, asked, given)
    try:
        if task == GENERATE and field_of(form, "as_job") == "yes":
            job = await seqd.generate(
                [asked.text],
                model=model,
                parameters=values,
                priority=Priority.INTERACTIVE,
                tenant=caller.tenant,
                stream=True,
            )
            await job.uploaded()
            return back_to(request, f"/jobs/{job.job_id}")
        facts |= _shown(await _answer(asked, caller, seqd))
        facts["commands"] = _commands(asked, str(request.base_url).rstrip("/"))
    except SeqdError as error:
        # Of an item that fails, the plugin's own words say why.
        facts["fault"] = str(error) if isinstance(error, ItemFailed) else message_of(error)
    except TimeoutError as error:
        facts["fault"] = str(error)
    return rendered(request, Page("try.html", _TITLE, facts))


async def _tasks(caller: Caller, seqd: GatewayClient) -> _Tasks:
    """Return the models that can do something with a text, by name and task."""
    return {
        (name, task): entry
        for name, entry in sorted((await seqd.seen_models(caller.only_tenant)).items())
        for task, schema in entry.all_tasks.items()
        if task != TRAIN and schema.input is None and entry.versions
    }


def _facts(tasks: _Tasks, asked: _Asked, given: Mapping[str, str] | None) -> dict[str, object]:
    """Return what the form shows: what it has by itself, or what was `given`."""
    name = asked.model.partition("@")[0]
    entry = tasks[name, asked.task]
    schema = entry.all_tasks[asked.task].parameters
    labels = [f"{name}@{label}" for label in entry.labels]
    versions = [f"{name}@{one.version}" for one in reversed(entry.versions)]
    return {
        "tasks": tasks,
        "entry": entry,
        "asked": asked,
        "models": list(dict.fromkeys([name, *labels, *versions, asked.model])),
        "fields": [_field(one, schema, given) for one in fields_of(schema)],
        "fault": "",
        "commands": {},
    }


def _field(name: str, root: Schema, given: Mapping[str, str] | None) -> _Field:
    schema = fields_of(root)[name]
    found, default = _plain(schema, root), schema.get("default")
    value = (given or {}).get(f"{_PARAMETER}{name}", "")
    kind = _KINDS.get(str(found.get("type")), "text")
    if "enum" in found:
        kind = "select"
    if kind == "checkbox" and given is None:
        value = "on" if default is True or name in _CHECKED else ""
    described = " ".join(str(schema.get("description", "")).split())
    return _Field(
        name=f"{_PARAMETER}{name}",
        label=name,
        kind=kind,
        value=value,
        default="" if default is None else _text(default),
        help="" if kind == "checkbox" else f"Allowed: {allowed(schema, root)}.",
        described=described,
        bounds=_bounds(found) if kind == "number" else {},
        choices=[_text(one) for one in cast("Sequence[JsonValue]", found.get("enum", ()))],
    )


def _plain(schema: Schema, root: Schema) -> Schema:
    """Return a field's schema; of one that may be null that of what it is else."""
    found = resolved(schema, root)
    parts = [resolved(one, root) for one in cast("Sequence[Schema]", found.get("anyOf", ()))]
    parts = [one for one in parts if one.get("type") != "null"]
    return parts[0] if len(parts) == 1 else found


def _bounds(schema: Schema) -> dict[str, JsonValue]:
    """Return what a browser checks of a number; what it cannot say, sending checks."""
    step = schema.get("multipleOf", 1 if schema.get("type") == "integer" else "any")
    bounds = {"min": schema.get("minimum"), "max": schema.get("maximum"), "step": step}
    if "multipleOf" in schema:
        del bounds["min"]  # steps would begin there
    return {name: value for name, value in bounds.items() if value is not None}


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
            yield name, _read(text)


def _read(text: str) -> ParameterValue:
    """Return a value as the command line reads one: JSON, or else a text."""
    try:
        value: ParameterValue = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, dict) else value


def _text(value: object) -> str:
    """Return a value such that `_read` returns it."""
    if isinstance(value, str) and _read(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


async def _answer(asked: _Asked, caller: Caller, seqd: GatewayClient) -> _Answer:
    options: AnswerOptions = {
        "parameters": asked.parameters,
        "tenant": caller.tenant,
        "timeout_s": ANSWER_S,
    }
    if asked.task == CLASSIFY:
        return await seqd.predict(asked.text, model=asked.model, **options)
    if asked.task == GENERATE:
        return await seqd.complete(asked.text, model=asked.model, **options)
    return await seqd.run_one(asked.text, model=asked.model, task=asked.task, **options)


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
    arguments = [repr(asked.text), f"model={asked.model!r}"]
    method = _METHODS.get(asked.task, "run_one")
    if method == "run_one":
        arguments.append(f"task={asked.task!r}")
    if asked.parameters:
        arguments.append(f"parameters={asked.parameters!r}")
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
    parts += [f"--param={name}={_text(value)}" for name, value in asked.parameters.items()]
    return shlex.join(["seqd", *parts])
