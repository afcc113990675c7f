"""A Celery application with one trivial task for each item: what seqd is compared with.

Not part of seqd. `daemon_beside_celery` sends the tasks, and runs the worker with
`celery -A task_per_item worker`. The settings are Celery's own defaults but for a longer
prefetch, which makes it quicker; results go to the same Redis, as JSON.
"""

import os

from celery import Celery

app = Celery("task_per_item")
app.conf.update(
    broker_url=os.environ.get("BENCH_REDIS_URL"),
    result_backend=os.environ.get("BENCH_REDIS_URL"),
    # Apart from the daemon's keys on the same server.
    broker_transport_options={"global_keyprefix": "raw-celery:"},
    result_backend_transport_options={"global_keyprefix": "raw-celery:"},
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)


@app.task(name="label")  # type: ignore[untyped-decorator] # Celery has no types
def label(text: str) -> dict[str, object]:
    """Give a text back as its own label, as the light plugin does."""
    return {"label": text, "score": 1.0, "truncated": False}
