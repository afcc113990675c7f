"""How a worker logs: one line an event, to standard error, with the same fields each time.

Connected to Celery's `setup_logging` signal, which makes Celery leave logging alone, in the
parent and in the child.
"""

import logging
import warnings

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure_logging(**_: object) -> None:
    """Send everything from INFO on to standard error; Celery's own chatter from WARNING on."""
    logging.basicConfig(level=logging.INFO, format=FORMAT, force=True)
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery announces two defaults of its next major release at each start and reconnect;
    # create_app sets both explicitly, and an operator can do nothing about them.
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="celery")
    # What Celery fears about root is pickle; this daemon accepts JSON alone, and in a container
    # the line would stand at the top of every log.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser")
