"""`seqd plugins show` and `seqd models show` of a fleet: what they print is enough to call a model.

The plugins of these workers are installed nowhere else.
"""

import pytest

from cli_builders import here, use_ledger
from task_fixtures import TaskCluster

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def fleet(task_cluster: TaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands of this process ask the cluster."""
    use_ledger(monkeypatch, task_cluster.commands)


def test_a_plugin_that_is_not_installed_here_and_its_models_are_shown_from_the_fleet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    shown = here(capsys, "plugins", "show", "tasks")
    model = here(capsys, "models", "show", "vectors")
    record = here(capsys, "plugins", "show", "pairs", "--json").json()

    assert (shown.status, shown.err) == (0, "")
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "plugin tasks"
    assert "workers shared" in lines
    for line in ("pairs compare, input: records", "pairs compare, output: Comparison"):
        assert line in lines
    assert "A text must not be empty." in lines
    assert max(map(len, shown.out.splitlines())) <= 80
    compare = record["contract"]["pairs"]["compare"]
    assert [field["name"] for field in compare["input"]] == ["left", "right", "weight"]
    assert compare["limits"] == ["A unit of work has 64 items."]
    assert "vectors embed, output: Embedding256" in model.out
    assert "delay_ms" in model.out


def test_a_plugin_that_there_is_not_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = here(capsys, "plugins", "show", "taks")

    assert ended.status == 2
    assert "no plugin or model named 'taks'. Plugins here: " in ended.err
    assert "Plugins on workers: " in ended.err
    assert "Did you mean 'tasks'?" in ended.err
