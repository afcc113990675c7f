"""A worker refuses a server that would throw jobs away or forget them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from readme_blocks import ROOT, blocks_of
from redis_fixtures import PrivateServer, installed_servers
from seqd.errors import InvalidSettings
from seqd.ledger import connect
from seqd.ledger.rights import check_server
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

EVICTING = ("maxmemory 50mb", "maxmemory-policy allkeys-lru")
VOLATILE = ("appendonly no", 'save ""')
NO_CONFIG = 'rename-command CONFIG ""'

StartServer = Callable[..., PrivateServer]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts one server, some lines of its configuration changed."""
    started: list[PrivateServer] = []

    def start(*lines: str) -> PrivateServer:
        folder = tmp_path / "server"
        folder.mkdir()
        started.append(PrivateServer(installed_servers()[0], folder, lines))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.stop()


def refusal_of(server: PrivateServer, **allowed: bool) -> str:
    with connect(server.url) as redis, pytest.raises(InvalidSettings) as refusal:
        check_server(redis, **{"allow_eviction": False, "allow_volatile": False} | allowed)
    return str(refusal.value)


def warnings_about(
    server: PrivateServer, caplog: pytest.LogCaptureFixture, **allowed: bool
) -> list[str]:
    with connect(server.url) as redis, caplog.at_level(logging.WARNING):
        check_server(redis, **{"allow_eviction": False, "allow_volatile": False} | allowed)
    assert all(record.levelname == "WARNING" for record in caplog.records)
    # Commands quoted as Redis 6 does; servers from 7.0 on write 'CONFIG'.
    return [message.replace("'", "`") for message in caplog.messages]


EVICTS = (
    "has maxmemory-policy allkeys-lru and maxmemory 52428800: when its memory is used up it throws "
    "away parts of jobs without a word. Set maxmemory-policy to noeviction there, or "
    "SEQD_ALLOW_EVICTION=true here to run all the same."
)
FORGETS = (
    "has appendonly no and no save rule: it writes nothing to disk, and its restart loses every "
    "job. Set appendonly to yes there, or SEQD_ALLOW_VOLATILE=true here to run all the same."
)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (EVICTING, EVICTS),
        ((*EVICTING, NO_CONFIG), EVICTS),  # judged by what else it tells
        (VOLATILE, FORGETS),
    ],
    ids=["evicts", "evicts, and has no config", "writes nothing"],
)
def test_a_server_that_throws_jobs_away_or_forgets_them_is_refused(
    start_server: StartServer, lines: tuple[str, ...], said: str
) -> None:
    server = start_server(*lines)

    assert refusal_of(server) == f"Redis at 127.0.0.1:{server.port} {said}"


def test_a_server_with_the_lines_of_the_guide_is_taken_without_a_warning(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    lines = blocks_of(ROOT / "docker" / "redis.md", "text")[0].text.splitlines()

    server = start_server(*EVICTING, *VOLATILE, "lazyfree-lazy-expire no", *lines)

    assert warnings_about(server, caplog) == []


def test_an_operator_may_run_on_both_all_the_same_is_warned_and_has_to_allow_each(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(*EVICTING, *VOLATILE)

    refusal = refusal_of(server, allow_eviction=True)
    caplog.clear()
    warnings = warnings_about(server, caplog, allow_eviction=True, allow_volatile=True)

    assert "SEQD_ALLOW_VOLATILE" in refusal
    assert len(warnings) == 2
    assert warnings[0].endswith("Set maxmemory-policy to noeviction there.")
    assert warnings[1].endswith("its restart loses every job. Set appendonly to yes there.")


WEAK = {
    "snapshots": ("appendonly no", "save 3600 1"),
    "evicts later": ("maxmemory 0", "maxmemory-policy allkeys-lru"),
    "no config": (*VOLATILE, NO_CONFIG),
    "tells nothing": (*VOLATILE, NO_CONFIG, 'rename-command INFO ""'),
    "as embedded": (),
}


@pytest.mark.parametrize("lines", WEAK.values(), ids=WEAK)
def test_a_server_that_is_weak_or_tells_little_is_taken_without_a_word(
    start_server: StartServer, caplog: pytest.LogCaptureFixture, lines: tuple[str, ...]
) -> None:
    server = start_server(*lines)

    assert warnings_about(server, caplog) == []


@pytest.fixture
def cluster(start_server: StartServer, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster on a server that writes nothing to disk."""
    with closing(Cluster(live_settings(start_server(*VOLATILE), tmp_path), tmp_path)) as own:
        yield own


def test_a_worker_ends_with_status_78_and_says_what_to_set(cluster: Cluster) -> None:
    worker = cluster.start()

    assert worker.wait_for_end() == 78
    said = "SEQD_ALLOW_VOLATILE=true here to run all the same."
    assert said in " ".join(worker.whole_log().split())


@pytest.mark.slow
def test_a_worker_that_may_runs_on_a_server_that_forgets(cluster: Cluster) -> None:
    worker = cluster.start_ready(allow_volatile=True)

    assert "its restart loses every job" in worker.whole_log()
