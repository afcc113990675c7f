"""All that users of Redis do, under exactly the rights of their roles: enough, and none to spare.

Two minutes on a busy machine; `make test-long` does it on each kind of server. The quick part is
`test_redis_rights.py`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pytest

from redis_fixtures import PrivateServer, newest_server
from rights_flow import Fleet, whole_flow
from rights_recorder import Deeds, Recorder
from seqd.ledger.acl import (
    CLIENT_SCRIPTS,
    FOR_THE_RELEASE_BEFORE,
    KEY_FOR_THE_RELEASE_BEFORE,
    OPERATOR_SCRIPTS,
    Role,
    commands_of_scripts,
    rights_of,
    worker_scripts,
)
from seqd.ledger.scripts import source_of

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.timeout(480),
    pytest.mark.parametrize("each_server", newest_server(), indirect=True, scope="module"),
]


@dataclass(frozen=True)
class Flow:
    """What happened in a whole flow under exact rights."""

    fleet: Fleet
    deeds: Mapping[str, Deeds]
    denials: list[tuple[str, str, str]]
    log: str


@pytest.fixture(scope="module")
def flow(each_server: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    fleet = Fleet(each_server, tmp_path_factory.mktemp("flow"))
    try:
        fleet.allow_exactly()
        with Recorder(each_server.url) as recorder:
            whole_flow(fleet)
        log = "".join(worker.whole_log() for worker in fleet.cluster.workers)
        yield Flow(fleet, recorder.deeds(), fleet.denials(), log)
    finally:
        fleet.close()


def test_a_whole_flow_needs_no_more_than_the_rights_of_each_role(flow: Flow) -> None:
    # An exporter asks whether it may call a command by a key that it may not use.
    denied = [
        row
        for row in flow.denials
        if row[1] != "client|setinfo"
        and not (row[0] == "exporter" and row[1].endswith(":durability-mark"))
    ]

    assert denied == []
    assert not re.search("denies|permission", flow.log)


#: What a script does in a rare case no flow does each time; but its text shows that it does.
IN_SCRIPTS = {
    Role.WORKER: worker_scripts(),
    Role.CLIENT: CLIENT_SCRIPTS,
    Role.OPERATOR: OPERATOR_SCRIPTS,
}

#: Called by kombu to queue what was not acknowledged, by redis-py for what 6.2 does not know, by a
#: training that another worker goes on with, with Sentinels to know of replicas (`wait`), and by
#: redis-py on a connection that was idle (`ping`).
RARELY_CALLED = {
    Role.WORKER: {"watch", "unwatch", "hget", "rpush", "client|setinfo", "xread", "lpos"},
    Role.CLIENT: {"client|setinfo", "wait", "ping"},
    Role.EXPORTER: {"client|setinfo"},
    Role.INBOX: {"client|setinfo"},
}

#: What small jobs share stands there, also of one that ends while the open jobs are listed; and the
#: tenants whose jobs wait, of which there may be none.
RARELY_READ = {Role.EXPORTER: ("template:*", "queue:*:*")}


@pytest.mark.parametrize("role", [Role.WORKER, Role.CLIENT, Role.EXPORTER, Role.INBOX])
def test_a_role_has_no_command_that_it_does_not_use(flow: Flow, role: Role) -> None:
    scripts = IN_SCRIPTS.get(role, ())
    given = {rule[1:] for rule in flow.fleet.rules(role) if rule.startswith("+")}

    unused = given - flow.deeds[role].commands - commands_of_scripts(scripts)
    unused -= {*FOR_THE_RELEASE_BEFORE.get(role, ())}

    assert unused - RARELY_CALLED[role] == set()


@pytest.mark.parametrize("role", [Role.WORKER, Role.CLIENT, Role.EXPORTER, Role.INBOX])
def test_a_role_has_no_keys_that_it_does_not_use(flow: Flow, role: Role) -> None:
    scripts = "\n".join(source_of(name) for name in IN_SCRIPTS.get(role, ()))
    prefix = flow.fleet.settings.prefix
    patterns = [key.pattern for key in rights_of(role, flow.fleet.settings.keys).keys]

    unused = [
        pattern
        for pattern in patterns
        if not any(fnmatchcase(key, pattern) for key in flow.deeds[role].keys)
        and f"'{pattern.removeprefix(prefix).rstrip('*')}" not in scripts
        and pattern.removeprefix(f"{prefix}:")
        not in (KEY_FOR_THE_RELEASE_BEFORE, *RARELY_READ.get(role, ()))
    ]

    assert unused == []


def test_a_client_calls_no_script_but_those_that_it_has_the_rights_for(flow: Flow) -> None:
    called = flow.deeds[Role.CLIENT].scripts

    assert called <= set(CLIENT_SCRIPTS)
    # These serve uploads that take long or are sent by two clients at once.
    assert set(CLIENT_SCRIPTS) - called <= {"follow", "heartbeat"}


def test_an_operator_calls_the_scripts_that_only_an_operator_has_the_rights_for(flow: Flow) -> None:
    called = flow.deeds[Role.OPERATOR].scripts

    assert called & set(OPERATOR_SCRIPTS) - set(CLIENT_SCRIPTS) == set(OPERATOR_SCRIPTS) - set(
        CLIENT_SCRIPTS
    )
