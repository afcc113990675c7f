"""Plain Celery: an application with one trivial task for each item, and who sends the tasks.

The worker is Celery's own. Its address comes by Celery's own variables. The settings are its
defaults but for a longer prefetch, which makes it quicker; results are JSON in the same Redis.
Celery promises less than seqd here: a task is acknowledged before it runs, so a kill loses it.
"""

import time

from celery import Celery

app = Celery("one_task_per_item")
# Apart from the daemon's keys on the same server.
app.conf.broker_transport_options = {"global_keyprefix": "plain-celery:"}
app.conf.result_backend_transport_options = {"global_keyprefix": "plain-celery:"}
app.conf.worker_prefetch_multiplier = 64
app.conf.broker_connection_retry_on_startup = True


@app.task(name="label")  # type: ignore[untyped-decorator] # Celery has no types
def label(text: str) -> dict[str, object]:
    """Return a text as its own label: all the work is the way there and back."""
    return {"label": text, "score": 1.0}


class Program:
    def run(self, count: int) -> int:
        """Send a task for each of `count` texts, read all results; returns how many were wrong."""
        sent = [label.delay(f"text {number}") for number in range(count)]
        results = [one.get(timeout=600.0) for one in sent]
        return sum(result["label"] != f"text {number}" for number, result in enumerate(results))

    def one_by_one(self, count: int) -> list[float]:
        """Send a task and wait for its result, then the next; gives milliseconds."""
        took_ms = []
        for number in range(count):
            began = time.perf_counter()
            label.delay(f"text {number}").get(timeout=600.0)
            took_ms.append(1000 * (time.perf_counter() - began))
        return took_ms
