"""What a job's log event says, with the worker and the cause where one has died."""

from seqd_schemas import Log


def log_told(event: Log) -> str:
    """Return what a job's log event says, with the worker and the cause where one has died."""
    if event.cause is None:
        return event.message
    worker = "a worker" if event.worker is None else event.worker
    return f"{worker} died, {event.cause}: {event.message}"
