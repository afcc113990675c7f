"""What of Celery's remote control a worker answers, where SEQD_CELERY_REMOTE_CONTROL is on.

Commands that look, and none that changes anything: a worker ends, drains or takes other queues by
the ledger's rules alone. `app` is for Celery's own programs, which have to know the prefix of the
channels: `celery --app seqd.worker.remote_control inspect ping`, or `flower`.
"""

from celery import Celery
from celery.worker.control import Panel

from seqd.ledger.wakeup import broker_settings
from seqd.local.endpoint import redis_url_of
from seqd.settings import load_settings

#: What `celery inspect` and Flower ask. Not `conf`, which has the password of a Sentinel, nor what
#: takes memory or time, as `memdump` does.
_ANSWERED = frozenset(
    {
        *("active", "active_queues", "clock", "ping", "query_task", "registered"),
        *("reserved", "revoked", "scheduled", "stats"),
    }
)


def answer_questions_alone() -> None:
    """Have workers of this process answer the commands that look; changes Celery in it."""
    for name in set(Panel.data) - _ANSWERED:
        del Panel.data[name]
    Panel.data["conf"] = _no_settings  # Flower asks for it again and again


def __getattr__(name: str) -> Celery:
    """Return `app`: an application that asks the workers of the daemon that the settings name."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    made = Celery("seqd", set_as_current=False)
    made.conf.update(broker_settings(redis_url_of(settings), settings))
    globals()[name] = made
    return made


def _no_settings(state: object, **arguments: object) -> dict[str, str]:
    return {}
