"""`/docs`: the contract as a page for people, without a script or anything from elsewhere."""

import json
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from seqd.gateway.console.rendering import templates

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
    style = files("seqd.gateway.console").joinpath("static", "docs.css").read_text()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

    @cache
    def page() -> str:
        api = app.openapi()
        routes: dict[str, list[tuple[str, object]]] = {}
        for path, methods in api["paths"].items():
            for method, route in methods.items():
                name = f"{method.upper()} {path}"
                routes.setdefault(route["tags"][0], []).append((name, route))
        own = templates().overlay()
        own.filters = own.filters | {"type_of": _type, "value": _value}
        return own.get_template("docs.html").render(api=api, routes=routes, style=style)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(), headers={"content-security-policy": policy})


def _type(schema: dict[str, Any]) -> Markup:
    """Return what a value may be: its types without null, and their bounds."""
    if "$ref" in schema:
        return Markup('<a href="#{0}">{0}</a>').format(schema["$ref"].rpartition("/")[2])
    kinds = schema.get("anyOf", schema.get("oneOf"))
    if kinds is not None:
        shown = dict.fromkeys(_type(one) for one in kinds if one.get("type") != "null")
        return Markup(" or ").join(shown)
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return Markup(", ").join(Markup("<code>{}</code>").format(_value(one)) for one in values)
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        kind = Markup("list of {}").format(_type(schema["items"]))
    bounds = [(said, schema[name]) for name, said in _BOUNDS.items() if name in schema]
    return Markup(", ").join([kind, *(said.format(f"{bound:,.16g}") for said, bound in bounds)])


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
