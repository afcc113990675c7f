"""`seqd queues`: the table for people, and the same for programs."""

import json

import pytest

from builders import a_catalog_entry, a_classify_job, a_worker_status
from cli_builders import here, use_ledger
from ledger_fixtures import Environment, publish_entries

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def here_is_the_fleet(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that can run what waits, and a model of which nobody can."""
    use_ledger(monkeypatch, environment.settings)
    monkeypatch.setenv("COLUMNS", "100")
    fleet = environment.ledger.fleet
    publish_entries(fleet, [a_catalog_entry()])
    fleet.publish_worker(a_worker_status(worker="w", versions={"imdb_lstm": (3,)}))
    environment.submit_units(2, a_classify_job(tenant="acme"))
    environment.redis.hset(environment.keys.work_left(), "classify.evil\x1b[2J@1", 7)


def test_it_has_a_row_a_task_and_model_and_says_why_nobody_can_run_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = here(capsys, "queues")

    lines = ended.out.splitlines()
    assert ended.status == 0
    assert lines[0].split() == [
        "task", "model", "state", "waiting", "in", "hand", "items/s", "oldest", "ends", "in",
        "workers",
    ]  # fmt: skip
    assert lines[1].startswith("classify  evil\\x1b[2J  nobody can run it           7")
    assert lines[1].endswith("never  none")
    assert lines[2].startswith("classify  imdb_lstm    waiting for a worker")
    assert " ".join(lines[4:]) == (
        "No worker that is up can do all that waits of classify evil\\x1b[2J (7 items). No worker "
        "that is up has a plugin with the model evil\\x1b[2J. Start a worker that can, or see what "
        "keeps those that are up: `seqd workers list`."
    )


def test_by_tenant_and_as_json_it_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    by_tenant = here(capsys, "queues", "--by-tenant").out.splitlines()
    states = json.loads(here(capsys, "queues", "--json").out)

    assert by_tenant[1].split()[:3] == ["classify", "imdb_lstm", "acme"]
    found = {state["model"]: (state["state"], state["waiting_items"]) for state in states}
    assert found == {"imdb_lstm": ("waiting", 4), "evil\x1b[2J": ("unserved", 7)}


def test_while_a_job_is_being_uploaded_of_which_nothing_waits_it_is_not_said_that_no_work_is_left(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.redis.delete(environment.keys.work_left())
    looks = {}
    for uploading in (0, 1):
        looks[uploading] = {view: here(capsys, *view.split()).out for view in ("queues", "top")}
        environment.submit()

    for view in ("queues", "top"):
        assert "No work is left." in looks[0][view]
        assert "No work waits just now; 1 job is being uploaded." in looks[1][view]
