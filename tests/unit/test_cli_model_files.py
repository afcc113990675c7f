"""`seqd models export`, `import` and `gc` on a store, and what they refuse."""

import json

import pytest

from cli_builders import here
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from store_builders import publish


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with three versions of `topics`, made with `markov`, of which the first serves."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    store = ModelStore(load_settings().store_dir, {})
    for number in range(3):
        publish(
            store,
            "topics",
            "markov",
            json.dumps({"records": number}),
            plugin_version="0.1",
        )
    return store


def test_an_archive_replaces_no_file_unless_it_is_told_to(store, capsys, tmp_path):
    (tmp_path / "t.tar").write_text("mine")

    refused = here(capsys, "models", "export", "topics@2", "t.tar")
    kept = (tmp_path / "t.tar").read_text()
    forced = here(capsys, "models", "export", "topics@2", "t.tar", "--force")
    folder = here(capsys, "models", "export", "topics@2", ".")

    assert (refused.status, kept, forced.status) == (2, "mine", 0)
    assert refused.err.startswith("error[output_exists]: ")
    assert folder.err == (
        "error[invalid_request]: FILE is '.'; allowed: a file, such as topics-2.tar\n"
    )


def test_a_version_whose_plugin_is_not_here_or_is_older_is_refused(store, capsys):
    publish(store, "strange", "strange")
    publish(store, "newer", "markov", plugin_version="99.1")
    for name in ("strange", "newer"):
        assert here(capsys, "models", "export", f"{name}@1", f"{name}.tar").status == 0

    strange = here(capsys, "models", "import", "strange.tar", "--as", "other")
    newer = here(capsys, "models", "import", "newer.tar", "--as", "other")

    assert strange.status == newer.status == 2
    assert strange.err.startswith(
        "error[unknown_plugin]: strange.tar is made with 'strange', and no plugin here brings that."
    )
    assert newer.err.startswith("error[unknown_plugin]: newer.tar is made with markov 99.1, and ")
    assert store.numbers("other") == []


def test_without_a_daemon_nobody_knows_what_jobs_run_on_and_nothing_is_removed(store, capsys):
    refused = here(capsys, "models", "gc", "topics", "--keep", "1")

    assert refused.err.startswith("error[redis_unreachable]: ")
    assert "--unchecked removes it all the same" in refused.err
    assert store.numbers("topics") == [1, 2, 3]


def test_old_versions_go_but_for_those_in_use(store, capsys):
    publish(store, "topics", "markov", content='{"records": 4}')
    store.set_label("topics", "best", 2)

    would = here(capsys, "models", "gc", "topics", "--keep", "1", "--unchecked", "--dry-run")
    kept = store.numbers("topics")
    removed = here(capsys, "models", "gc", "topics", "--keep", "1", "--unchecked")
    nothing = here(capsys, "models", "gc", "topics", "--keep", "1", "--unchecked", "--json")

    assert (would.out, kept) == ("Would remove: topics@3\n", [1, 2, 3, 4])
    assert removed.out == "Removed: topics@3\n"
    assert store.numbers("topics") == [1, 2, 4]
    assert json.loads(nothing.out) == {"model": "topics", "removed": [], "dry_run": False}
