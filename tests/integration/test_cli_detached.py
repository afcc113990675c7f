"""What a command that does not wait says of its job: whether it runs by itself, and if not, why."""

import pytest

from builders import a_catalog_entry, a_worker_status
from cli_builders import here, use_ledger
from ledger_fixtures import Environment, publish_entries
from seqd_schemas import ModelPause, PluginState, PluginStatus

pytestmark = pytest.mark.processes

PLUGIN = PluginStatus(
    name="imdb_lstm",
    distribution="seqd-imdb-lstm",
    version="1",
    state=PluginState.READY,
    models=("imdb_lstm",),
)
WATCH = "Watch it: seqd jobs watch j1\n"
ONCE = f"It runs once that has changed. {WATCH}"


@pytest.mark.parametrize(
    ("versions", "is_paused", "said"),
    [
        ((0,), False, f"It runs by itself. {WATCH}"),
        (
            (2,),
            False,
            "Job j1 waits. No worker that is up can classify imdb_lstm@0 now. w1: missing: its "
            f"store has no such version (it can run 2). {ONCE}",
        ),
        (
            (0,),
            True,
            "Job j1 waits. Model imdb_lstm is paused by ana since 1970-01-01 00:00. Its jobs go on "
            f"by `seqd models resume imdb_lstm`. {ONCE}",
        ),
    ],
)
def test_a_job_that_nobody_waits_for_runs_by_itself_or_it_is_said_why_not(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    versions: tuple[int, ...],
    is_paused: bool,
    said: str,
) -> None:
    use_ledger(monkeypatch, environment.settings)
    fleet = environment.ledger.fleet
    publish_entries(fleet, [a_catalog_entry()])
    fleet.publish_worker(
        a_worker_status(worker="w1", versions={"imdb_lstm": versions}, plugins=(PLUGIN,))
    )
    if is_paused:
        environment.ledger.model_pauses.pause(ModelPause(model="imdb_lstm", by="ana", at_ms=1))

    ended = here(
        capsys, "classify", "--text", "a", "-m", "imdb_lstm", "--job-id", "j1", "--no-wait"
    )

    assert (ended.status, ended.out) == (0, "j1\n"), ended.err
    assert " ".join(ended.err.split()) == " ".join(said.split())
