"""All pages of the console: their modules, which give `router` its routes."""

from seqd.gateway.console import (  # noqa: F401  each has routes
    failures,
    job,
    job_results,
    jobs,
    keys,
    login,
    models,
    now,
    plugins,
    static_files,
    try_it,
    webhooks,
    workers,
)
from seqd.gateway.console.visits import router as router
