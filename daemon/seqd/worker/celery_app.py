"""The Celery application of a worker: settings, and why each is as it is.

Celery on Redis may lose or double a message, so a message carries nothing that matters; see
the ledger. Nothing is imported here that computes.
"""

from celery import Celery
from celery.signals import setup_logging

from seqd.ledger.wakeup import broker_settings
from seqd.settings import Settings
from seqd.worker.acknowledging import outlive_lost_acknowledgements
from seqd.worker.broker import distrust_messages
from seqd.worker.logs import configure_logging


def create_app(redis_url: str, settings: Settings) -> Celery:
    """Make the application that a node listens with."""
    setup_logging.connect(configure_logging)
    distrust_messages()
    outlive_lost_acknowledgements()
    app = Celery("seqd")
    app.conf.update(broker_settings(redis_url, settings))
    app.conf.update(
        imports=["seqd.worker.doorbell"],
        # A busy worker hoards nothing: a wakeup that it cannot answer is heard by another.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        # The ledger retries, not the broker: with this on, a unit that kills its process is
        # redelivered three times a second for ever.
        task_reject_on_worker_lost=False,
        task_retry_on_worker_lost=False,
        # With this on, a Redis restart loses the message for good.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_pool="prefork",
        worker_concurrency=1,
        # A forked child would inherit dead thread pools; a spawned one gets the slot's
        # environment before any library is imported.
        worker_pool_start_method="spawn",
        # The default of 4 s kills a child that is still importing, in a loop.
        worker_proc_alive_timeout=180.0,
        # Until then a dead child's wakeup counts as being answered, so the new child hears none.
        # The default of 10 s waits for a result that may be on its way; a wakeup has none.
        worker_lost_wait=0.5,
        # Slices are bounded by us; a hard limit would acknowledge the wakeup and drop it.
        task_time_limit=None,
        broker_connection_max_retries=None,
        worker_send_task_events=False,
        # Whoever can reach Redis could shut workers down by it; what steers them is the ledger.
        worker_enable_remote_control=False,
    )
    return app
