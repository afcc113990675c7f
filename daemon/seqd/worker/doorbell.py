"""The only Celery task: somebody rang, so look at the ledger. Runs in the pool child.

Celery imports this module in the parent and in the child; only the child makes a `Runtime`,
from the environment that `node` set before it spawned the child.
"""

import logging
import os
from dataclasses import dataclass

from billiard.process import current_process
from celery import shared_task
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from seqd.ledger.wakeup import WAKEUP_TASK
from seqd.local import die_with_parent
from seqd.settings import load_settings
from seqd.worker.end_signals import ignore_in_child
from seqd.worker.logs import configure_logging
from seqd.worker.pulse import Pulse
from seqd.worker.runtime import Runtime
from seqd.worker.workbench import open_workbench

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Child:
    """The child's runtime, made when its process starts."""

    runtime: Runtime | None = None


_child = _Child()


setup_logging.connect(configure_logging)


@worker_process_init.connect  # type: ignore[untyped-decorator] # Celery has no types
def start_child(**_: object) -> None:
    """Make the runtime and warm the models up, before the child takes its first wakeup.

    Celery logs what this raises and carries on; the first wakeup then tries again.
    """
    ignore_in_child()
    # Celery has asked for the same, but not looked whether the parent was gone by then.
    die_with_parent(current_process()._parent_pid)
    settings = load_settings()
    Pulse(settings, settings.worker).start()
    _open_runtime()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def end_child(exitcode: int, **_: object) -> None:
    """End now. All is said by here, and billiard would sleep a second before it does the same."""
    os._exit(exitcode)


def _open_runtime() -> Runtime:
    if _child.runtime is None:
        settings = load_settings()
        runtime = Runtime(open_workbench(settings), settings)
        runtime.warm_up()
        _child.runtime = runtime
    return _child.runtime


@shared_task(name=WAKEUP_TASK)  # type: ignore[untyped-decorator]
def doorbell() -> None:
    """Answer a wakeup. What it does depends on the ledger alone."""
    _open_runtime().answer_wakeup()
