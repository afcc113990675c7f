"""Plain Celery: an application with one trivial task for each item, and who sends the tasks.

The worker is Celery's own: `celery -A seqd.bench.peers.celery_tasks worker`. The address comes
by Celery's own variables, CELERY_BROKER_URL and CELERY_RESULT_BACKEND. The settings are its
defaults but for a longer prefetch, which makes it quicker; results are JSON in the same Redis.
Celery promises less than seqd here: a task is acknowledged before it runs, so a kill loses it.
"""

import time
from collections.abc import Mapping
from typing import Any

from celery import Celery

from seqd.bench.peers.protocol import serve

#: A result that takes longer has been lost.
_RESULT_S = 600.0

app = Celery("one_task_per_item")
app.conf.update(
    # Apart from the daemon's keys on the same server.
    broker_transport_options={"global_keyprefix": "plain-celery:"},
    result_backend_transport_options={"global_keyprefix": "plain-celery:"},
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)


# Named, since the module has another name where it is run as a program.
@app.task(name="label")  # type: ignore[untyped-decorator] # Celery has no types
def label(text: str) -> dict[str, object]:
    """Give a text back as its own label: all the work is the way there and back."""
    return {"label": text, "score": 1.0}


def run(asked: Mapping[str, Any]) -> dict[str, object]:
    """Send a task for each of `count` texts, then read all results in order."""
    began = time.perf_counter()
    sent = [label.delay(f"text {number}") for number in range(asked["count"])]
    results = [one.get(timeout=_RESULT_S) for one in sent]
    took_s = time.perf_counter() - began
    for one in sent:  # Not timed: what the next round should not find.
        one.forget()
    wrong = sum(result["label"] != f"text {number}" for number, result in enumerate(results))
    return {"seconds": took_s, "wrong": wrong}


def one_by_one(asked: Mapping[str, Any]) -> dict[str, object]:
    """Send a task and wait for its result, `count` times; gives each one's milliseconds."""
    took_ms = []
    for number in range(asked["count"]):
        began = time.perf_counter()
        result = label.delay(f"text {number}")
        result.get(timeout=_RESULT_S)
        took_ms.append(1000 * (time.perf_counter() - began))
        result.forget()
    return {"milliseconds": took_ms}


if __name__ == "__main__":
    serve({"run": run, "one_by_one": one_by_one})
