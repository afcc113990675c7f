"""A worker refuses a server that would throw jobs away or forget them, and warns of a weak one."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.errors import InvalidSettings
from seqd.ledger import connect
from seqd.ledger.server_check import check_server
from seqd.local.redis_binaries import find_server_binaries
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

EVICTING = ("maxmemory 50mb", "maxmemory-policy allkeys-lru")
VOLATILE = ("appendonly no", 'save ""')
EVICTING_LATER = ("maxmemory 0", "maxmemory-policy allkeys-lru")
UNBOUNDED = ("maxmemory 0",)
SNAPSHOTS = ("appendonly no", "save 3600 1", "save 300 100")

StartServer = Callable[..., PrivateServer]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts one server, some lines of its configuration changed."""
    started: list[PrivateServer] = []

    def start(*lines: str) -> PrivateServer:
        folder = tmp_path / "server"
        folder.mkdir()
        started.append(PrivateServer(find_server_binaries()[0], folder, lines))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()


def refusal_of(server: PrivateServer) -> str:
    with connect(server.url) as redis, pytest.raises(InvalidSettings) as refusal:
        check_server(redis, allow_eviction=False, allow_volatile=False)
    return str(refusal.value)


def warnings_about(
    server: PrivateServer, caplog: pytest.LogCaptureFixture, **allowed: bool
) -> list[str]:
    with connect(server.url) as redis, caplog.at_level(logging.WARNING):
        check_server(redis, **({"allow_eviction": False, "allow_volatile": False} | allowed))
    assert all(record.levelname == "WARNING" for record in caplog.records)
    return caplog.messages


def test_a_server_that_evicts_is_refused(start_server: StartServer) -> None:
    server = start_server(*EVICTING)

    assert refusal_of(server) == (
        f"Redis at 127.0.0.1:{server.port} has maxmemory-policy allkeys-lru and maxmemory "
        "52428800: when its memory is used up it throws away parts of jobs without a word. Set "
        "maxmemory-policy to noeviction there, or SEQD_ALLOW_EVICTION=true here to run all the "
        "same."
    )


def test_a_server_that_writes_nothing_to_disk_is_refused(start_server: StartServer) -> None:
    server = start_server(*VOLATILE)

    assert refusal_of(server) == (
        f"Redis at 127.0.0.1:{server.port} has appendonly no and no save rule: it writes nothing "
        "to disk, and its restart loses every job. Set appendonly to yes there, or "
        "SEQD_ALLOW_VOLATILE=true here to run all the same."
    )


def test_an_operator_may_run_on_both_all_the_same_and_is_warned(start_server, caplog):
    server = start_server(*EVICTING, *VOLATILE)

    warnings = warnings_about(server, caplog, allow_eviction=True, allow_volatile=True)

    assert len(warnings) == 2
    assert warnings[0].endswith("Set maxmemory-policy to noeviction there.")
    assert warnings[1].endswith("its restart loses every job. Set appendonly to yes there.")


def test_leave_to_evict_is_no_leave_to_forget(start_server, caplog):
    server = start_server(*EVICTING, *VOLATILE)

    with pytest.raises(InvalidSettings, match="SEQD_ALLOW_VOLATILE"):
        warnings_about(server, caplog, allow_eviction=True)


def test_a_server_with_snapshots_alone_is_taken_with_a_warning_of_what_it_loses(
    start_server, caplog
):
    server = start_server(*SNAPSHOTS)

    assert warnings_about(server, caplog) == [
        f"Redis at 127.0.0.1:{server.port} has appendonly no and keeps snapshots only (3600 s "
        "after 1 change, 300 s after 100 changes): a crash loses whatever was written since the "
        "last one. Set appendonly to yes there."
    ]


def test_a_server_that_would_evict_once_it_is_bounded_is_taken_with_a_warning(start_server, caplog):
    server = start_server(*EVICTING_LATER)

    assert warnings_about(server, caplog) == [
        f"Redis at 127.0.0.1:{server.port} has maxmemory-policy allkeys-lru and maxmemory 0: it "
        "throws nothing away yet, but parts of jobs once a maxmemory is set. Set maxmemory-policy "
        "to noeviction there, then maxmemory."
    ]


def test_a_server_that_refuses_nothing_before_its_machine_is_full_is_taken_with_a_warning(
    start_server, caplog
):
    server = start_server(*UNBOUNDED)

    assert warnings_about(server, caplog) == [
        f"Redis at 127.0.0.1:{server.port} has maxmemory 0: nothing is refused before the memory "
        "of its machine is full, and then it may be killed. Set maxmemory there."
    ]


def test_the_embedded_servers_configuration_is_fit(private_server, caplog):
    assert warnings_about(private_server, caplog) == []


def quoted_alike(lines: list[str]) -> list[str]:
    """Return lines with commands quoted as Redis 6 does; servers from 7.0 on write 'CONFIG'."""
    return [line.replace("'", "`") for line in lines]


def test_a_server_that_does_not_tell_its_configuration_is_taken_as_it_is(start_server, caplog):
    server = start_server(*VOLATILE, 'rename-command CONFIG ""')

    assert quoted_alike(warnings_about(server, caplog)) == [
        f"Redis at 127.0.0.1:{server.port} has appendonly no and does not tell its save rules "
        "(CONFIG: unknown command `CONFIG`): whether it writes anything to disk, or its restart "
        "loses every job, was not checked."
    ]


def test_a_server_without_config_is_judged_by_what_else_it_tells(start_server):
    server = start_server(*EVICTING, 'rename-command CONFIG ""')

    assert "has maxmemory-policy allkeys-lru" in refusal_of(server)


def test_a_server_that_tells_nothing_is_taken_as_it_is(start_server, caplog):
    server = start_server(*VOLATILE, 'rename-command CONFIG ""', 'rename-command INFO ""')

    assert quoted_alike(warnings_about(server, caplog)) == [
        f"Redis at 127.0.0.1:{server.port} does not tell how much memory it uses (unknown command "
        "`INFO`): SEQD_MAX_MEMORY_SHARE has no effect.",
        f"Redis at 127.0.0.1:{server.port} does not tell maxmemory-policy, maxmemory and "
        "appendonly (CONFIG: unknown command `CONFIG`; INFO: unknown command `INFO`): that was not "
        "checked. It must have maxmemory-policy noeviction, a maxmemory, and what it holds on disk "
        "or on a replica.",
    ]


def test_a_worker_ends_with_status_78_and_says_what_to_set(start_server, tmp_path):
    server = start_server(*VOLATILE)
    cluster = Cluster(live_settings(server, tmp_path), tmp_path)
    try:
        worker = cluster.start()

        assert worker.wait_for_end() == 78
        assert "SEQD_ALLOW_VOLATILE=true here to run all the same." in " ".join(
            worker.whole_log().split()
        )
    finally:
        cluster.close()


@pytest.mark.slow
def test_a_worker_that_may_runs_on_a_server_that_forgets(start_server, tmp_path):
    cluster = Cluster(live_settings(start_server(*VOLATILE), tmp_path), tmp_path)
    try:
        worker = cluster.start_ready(allow_volatile=True)

        assert "its restart loses every job" in worker.whole_log()
    finally:
        cluster.close()
