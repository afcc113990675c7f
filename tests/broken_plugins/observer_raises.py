"""An observer that raises each time that it is called."""

from seqd.hookspecs import hookimpl


@hookimpl
def seqd_job_finished(job):
    """Fail."""
    raise ConnectionError("no answer from the billing service")
