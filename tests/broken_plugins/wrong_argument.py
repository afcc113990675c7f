"""A plugin that asks a hook for an argument which it does not have."""

from seqd.hookspecs import hookimpl


@hookimpl
def seqd_job_started(job, slot):
    """Watch jobs start."""
