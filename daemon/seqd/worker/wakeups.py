"""What Celery calls in a worker's pool child: its start, each wakeup, and its end.

Celery imports this module in the parent and in the child; only the child makes a `WorkLoop`, from
the environment that `node` set before it spawned the child.
"""

import gc
import logging
import os
from functools import cache

from billiard.process import current_process
from celery import shared_task
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from seqd.errors import REDIS_ERRORS
from seqd.ledger.wakeup import WAKEUP_TASK
from seqd.local.parent_death import copies_die_with_me, die_with_parent
from seqd.settings import load_settings
from seqd.worker.channel import Channel
from seqd.worker.child import WorkLoop
from seqd.worker.context import open_context
from seqd.worker.deaths import DeathFile
from seqd.worker.drain import ignore_end_signals
from seqd.worker.logs import (
    configure_logging,
    flush_log,
    log_whatever_is_written,
    name_worker_of_log,
)
from seqd.worker.pool import START_LIMIT_S

log = logging.getLogger(__name__)

#: Objects made, and not yet freed, after which the garbage collector looks for cycles among them:
#: a few units' items. At Python's own 700 it looks at each batch while all of it is still in use.
COLLECT_AFTER = 10_000


setup_logging.connect(configure_logging)


@worker_process_init.connect  # type: ignore[untyped-decorator] # Celery has no types
def start_child(**_: object) -> None:
    """Warm the models up, before the child takes its first wakeup.

    Celery logs what this raises and carries on; the first wakeup then tries again.
    """
    ignore_end_signals()
    settings = load_settings()
    log_whatever_is_written("the child", settings)
    name_worker_of_log(settings.worker, settings.slot)
    # Celery has asked for the same, but not looked whether the parent was gone by then.
    die_with_parent(current_process()._parent_pid)
    copies_die_with_me()
    deaths = DeathFile(settings, settings.worker)
    deaths.open()  # before the first heartbeat
    _channel().start_heartbeats(settings)
    with deaths.starting(START_LIMIT_S):
        _loop()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def end_child(exitcode: int, **_: object) -> None:
    """End now. All is said by here, and billiard would sleep a second before it does the same."""
    flush_log()
    os._exit(exitcode)


@shared_task(name=WAKEUP_TASK)  # type: ignore[untyped-decorator]
def wakeup() -> None:
    """Work for a slice. What is done depends on the ledger alone: the message carries nothing."""
    try:
        _loop().run_slice()
    except REDIS_ERRORS as error:
        # Such as in a drain that could not wait for Redis. Leases run out, or the parent releases
        # them, and the reconciler sends another wakeup.
        log.warning("work stops: %s", error)
    except Exception:
        # Celery ends the whole worker at a MemoryError.
        log.exception("work stops")


@cache
def _channel() -> Channel:
    return Channel.of_parent(load_settings().channel)


@cache
def _loop() -> WorkLoop:
    """Return the child's loop; where it cannot be made, the next wakeup tries again."""
    settings = load_settings()
    loop = WorkLoop(open_context(settings, _channel()), settings)
    # The garbage collector leaves alone what stays: 1 to 6 us of 25 that a review took. Before
    # models are loaded, which may be unloaded again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    loop.warm_up()
    return loop
