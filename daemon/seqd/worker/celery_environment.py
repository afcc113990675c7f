"""Celery's own variables: a worker has none of them, whatever its environment says.

Celery, kombu and billiard read the environment themselves, most of it when they are imported, and
there `CELERY_BROKER_URL` wins over the settings of an application: in the shell of a team that runs
Celery a worker would listen on that team's broker. This module imports nothing of theirs.
"""

import os

_PREFIXES = ("CELERY_", "KOMBU_", "_MP_FORK_")

#: Those that their prefix does not show. `test_celery_variables.py` compares them with the source
#: of the installed releases.
_OTHERS = frozenset(
    {
        "AUTOSCALE_KEEPALIVE",
        "C_BENCH",
        "C_BENCH_EVERY",
        "C_FAKEFORK",
        "C_FORCE_ROOT",
        "C_IMPDEBUG",
        "C_REMDEBUG",
        "C_STRICT_APP",
        "C_WARN_APP",
        "C_WNOCONF",
        "DISABLE_TRACEBACKS",
        "DJANGO_PROJECT_DIR",
        "DJANGO_SETTINGS_MODULE",
        "EVENTLET_NOBLOCK",
        "FORKED_BY_MULTIPROCESSING",
        "MP_LOG",
        "MP_MAIN_FILE",
        "MULTIPROCESSING_FORKING_DISABLE",
        "NOSETPS",
        "PICKLE_PROTOCOL",
        "REMAP_SIGTERM",
        "TIMER_DEBUG",
        "USE_FAST_LOCALS",
        "celery_dummy_proxy",
    }
)


def is_celerys(variable: str) -> bool:
    """Return whether Celery, kombu or billiard would read a variable."""
    return variable.startswith(_PREFIXES) or variable in _OTHERS


def remove_celery_variables() -> None:
    """Remove these variables from this process and all that it starts.

    Call it before Celery is imported, and not in a pool child, to which billiard hands variables of
    its own.
    """
    for variable in [name for name in os.environ if is_celerys(name)]:
        del os.environ[variable]
