"""All that users of Redis do, under exactly the rights of their roles.

Two minutes on a busy machine; `make test-long` does it on each kind of server. The quick part is
`test_redis_rights.py`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer, servers
from rights_flow import Fleet, whole_flow

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.timeout(480),
    pytest.mark.parametrize(
        "each_server", servers(pytest.mark.long, newest_first=True), indirect=True
    ),
]


@pytest.fixture
def fleet(each_server: PrivateServer, tmp_path: Path) -> Iterator[Fleet]:
    own = Fleet(each_server, tmp_path)
    try:
        own.allow_exactly()
        yield own
    finally:
        own.close()


def test_a_whole_flow_needs_no_more_than_the_rights_of_each_role(fleet: Fleet) -> None:
    whole_flow(fleet)

    # An exporter asks whether it may call a command by a key that it may not use, and whether Redis
    # takes writes by one that it may not do.
    denied = [
        row
        for row in fleet.denials()
        if row[1] != "client|setinfo"
        and not (row[0] == "exporter" and (row[1] == "set" or row[1].endswith(":durability-mark")))
    ]
    log = "".join(worker.whole_log() for worker in fleet.cluster.workers)
    assert denied == []
    assert not re.search("denies|permission", log)
