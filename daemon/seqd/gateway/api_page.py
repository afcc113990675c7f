"""`/docs`: the contract as a page for people, without a script or anything from elsewhere."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from html import escape
from typing import Any, Final, TypeAlias

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

#: A part of the OpenAPI document.
_Part: TypeAlias = Mapping[str, Any]

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; } h3 { margin-top: 2rem; } p { margin: .5rem 0; }
code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { border-bottom: 1px solid #8886; padding: .3rem .6rem .3rem 0; text-align: left; }
td, th { vertical-align: top; } td:nth-child(1), td:nth-child(2) { width: 30%; }
"""
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
    "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: Bounds of a value, as people say them.
_BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "maxLength": "up to {} characters",
    "minItems": "at least {} of them",
    "maxItems": "up to {} of them",
    "maxProperties": "up to {} of them",
}


def add_page(app: FastAPI) -> None:
    """Have an application show its contract at `/docs`, to anybody as `/openapi.json` is."""
    page = cache(lambda: _page(app.openapi()))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(), headers={"content-security-policy": _POLICY})


def _page(api: _Part) -> str:
    routes: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, route in methods.items():
            routes.setdefault(route["tags"][0], []).append(_route(method.upper(), path, route))
    schemas = api["components"]["schemas"]
    links = (f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in [*routes, "bodies"])
    parts = [
        f"<h1>{escape(api['info']['title'])} {escape(api['info']['version'])}</h1>",
        f"<p>{escape(api['info']['summary'])} <a href='/openapi.json'>As OpenAPI</a>.</p>",
        "<p>Where the gateway has keys, each request bears one: <code>Authorization: Bearer KEY"
        f"</code>.</p><nav>{' · '.join(links)}</nav>",
    ]
    for tag, shown in routes.items():
        parts += [f'<h2 id="{escape(tag)}">{escape(tag)}</h2>', *shown]
    parts.append('<h2 id="bodies">bodies</h2>')
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>seqd over HTTP</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        f"{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _route(method: str, path: str, route: _Part) -> str:
    parameters = (
        (f"{_code(one['name'])} <small>{one['in']}</small>", one["schema"], one["required"])
        for one in route.get("parameters", ())
    )
    parts = [f"<h3>{_code(f'{method} {path}')}</h3>", _paragraphs(route.get("description", ""))]
    parts.append(_table(parameters))
    for media, content in route.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        parts += [f"<p>Body, {_code(media)}: {_type(schema)}</p>", _table(_fields(schema))]
    answers = (_answer(status, answer) for status, answer in sorted(route["responses"].items()))
    return "".join([*parts, f"<p>Answers: {'; '.join(answers)}</p>"])


def _answer(status: str, answer: _Part) -> str:
    """Return how a route answers with a status, without what FastAPI says of any."""
    said = answer["description"].replace("Successful Response", "")
    media = ", ".join(map(_code, answer.get("content", {})))
    return f"{_code(status.replace('default', 'others'))} {_prose(said)} {media}"


def _schema(name: str, schema: _Part) -> str:
    kinds = "" if "properties" in schema else f"<p>{_type(schema)}</p>"
    told = _paragraphs(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{_code(name)}</h3>{told}{kinds}{_table(_fields(schema))}'


def _fields(schema: _Part) -> Iterable[tuple[str, _Part, bool]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield _code(name), field, name in required


def _table(rows: Iterable[tuple[str, _Part, bool]]) -> str:
    lines = [
        f"<tr><td>{name}{'' if not required else ' <b>required</b>'}</td><td>{_type(schema)}</td>"
        f"<td>{_prose(schema.get('description', ''))}{_default(schema)}</td></tr>"
        for name, schema, required in rows
    ]
    return f"<table>{''.join(lines)}</table>" if lines else ""


def _default(schema: _Part) -> str:
    default = schema.get("default")
    return "" if default in (None, "", {}, []) else f" Default: {_code(_json(default))}."


def _type(schema: _Part) -> str:
    """Return what a value may be: its types without null, and their bounds."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    kinds = schema.get("anyOf", schema.get("oneOf"))
    if kinds is not None:
        return " or ".join(dict.fromkeys(_type(one) for one in kinds if one.get("type") != "null"))
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return ", ".join(_code(_json(value)) for value in values)
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        kind = f"list of {_type(schema['items'])}"
    bounds = [(said, schema[name]) for name, said in _BOUNDS.items() if name in schema]
    return ", ".join([kind, *(said.format(f"{bound:,.16g}") for said, bound in bounds)])


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_prose(one)}</p>" for one in text.split("\n\n") if one)


def _prose(text: str) -> str:
    """Return a text of the contract, with what is in backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
