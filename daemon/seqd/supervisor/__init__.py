"""Keeps one worker process alive on each slot of this machine.

Not the worker itself, which is `seqd.worker`. Called by `seqd up`.
"""

from seqd.supervisor.changes import Change, OnChange, WorkerChange
from seqd.supervisor.environment import worker_environment
from seqd.supervisor.parent_death import die_with_parent, launch_command
from seqd.supervisor.restarts import RestartPolicy
from seqd.supervisor.supervisor import CONFIG_EXIT_STATUS, GRACE_S, Supervisor

__all__ = [
    "CONFIG_EXIT_STATUS",
    "GRACE_S",
    "Change",
    "OnChange",
    "RestartPolicy",
    "Supervisor",
    "WorkerChange",
    "die_with_parent",
    "launch_command",
    "worker_environment",
]
