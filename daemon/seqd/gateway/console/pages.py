"""All pages of the console: their modules, which give `router` its routes; and its static files."""

from importlib.resources import files

from starlette.responses import Response

from seqd.gateway.console import (  # noqa: F401  each has routes
    failures,
    job,
    jobs,
    keys,
    models,
    now,
    try_it,
    webhooks,
    workers,
)
from seqd.gateway.console.visits import router as router

#: What there is, with its media type.
_TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@router.get("/static/{name}")
async def static_file(name: str) -> Response:
    """Return one of the files, 404 for any other."""
    if name not in _TYPES:
        return Response(status_code=404)
    content = files("seqd.gateway.console").joinpath("static", name).read_bytes()
    headers = {"cache-control": "max-age=300", "x-content-type-options": "nosniff"}
    return Response(content, media_type=_TYPES[name], headers=headers)
