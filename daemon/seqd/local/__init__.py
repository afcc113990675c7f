"""This machine: its Redis server where none is given, its slots, and a worker on each of them."""

from typing import TYPE_CHECKING

from seqd.deferred import deferred

if TYPE_CHECKING:
    from seqd.local.endpoint import Endpoint, check_redis_url, redis_url_of, without_password
    from seqd.local.parent_death import die_with_parent, launch_command
    from seqd.local.redis_binaries import ServerBinary, find_server_binaries
    from seqd.local.redis_server import EmbeddedServer, running_server
    from seqd.local.supervisor import (
        CONFIG_EXIT_STATUS,
        GRACE_S,
        Change,
        OnChange,
        RestartPolicy,
        Supervisor,
        WorkerChange,
        worker_environment,
    )

__all__ = [
    "CONFIG_EXIT_STATUS",
    "GRACE_S",
    "Change",
    "EmbeddedServer",
    "Endpoint",
    "OnChange",
    "RestartPolicy",
    "ServerBinary",
    "Supervisor",
    "WorkerChange",
    "check_redis_url",
    "die_with_parent",
    "find_server_binaries",
    "launch_command",
    "redis_url_of",
    "running_server",
    "without_password",
    "worker_environment",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred(
        globals(),
        {
            "CONFIG_EXIT_STATUS": "supervisor",
            "GRACE_S": "supervisor",
            "Change": "supervisor",
            "EmbeddedServer": "redis_server",
            "Endpoint": "endpoint",
            "OnChange": "supervisor",
            "RestartPolicy": "supervisor",
            "ServerBinary": "redis_binaries",
            "Supervisor": "supervisor",
            "WorkerChange": "supervisor",
            "check_redis_url": "endpoint",
            "die_with_parent": "parent_death",
            "find_server_binaries": "redis_binaries",
            "launch_command": "parent_death",
            "redis_url_of": "endpoint",
            "running_server": "redis_server",
            "without_password": "endpoint",
            "worker_environment": "supervisor",
        },
    )
