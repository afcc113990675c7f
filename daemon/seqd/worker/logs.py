"""How a worker logs: one line an event, to standard error, with the same fields each time."""

import logging
import warnings
from collections.abc import Callable

from seqd.errors import REDIS_ERRORS, RedisUnreachable

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

log = logging.getLogger(__name__)


def configure_logging(**_: object) -> None:
    """Send everything from INFO on to standard error; Celery's own log from WARNING on.

    As a receiver of Celery's `setup_logging` signal it makes Celery leave logging alone.
    """
    logging.basicConfig(level=logging.INFO, format=FORMAT, force=True)
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery announces two defaults of its next major release at each start and reconnect;
    # create_app sets both explicitly, and an operator can do nothing about them.
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="celery")
    # What Celery fears about root is pickle; this daemon accepts JSON alone, and in a container
    # the line would stand at the top of every log.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser")


def log_and_continue(
    what_failed: str, step: Callable[[], None], *, is_repeated: bool = False
) -> bool:
    """Take a step and log its error, if any. Return False when there was one.

    Redis away or full is expected and costs a line; anything else is a bug and costs a traceback.
    A step that `is_repeated` loses nothing while Redis is away, and an outage has its own two lines
    in the log.
    """
    try:
        step()
    except RedisUnreachable as error:
        level = logging.DEBUG if is_repeated else logging.WARNING
        log.log(level, "%s: %s", what_failed, error)
        return False
    except REDIS_ERRORS as error:
        log.warning("%s: %s", what_failed, error)
        return False
    except Exception:
        log.exception("%s", what_failed)
        return False
    return True
