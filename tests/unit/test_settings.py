"""Settings as operators write them: a variable that is none is told, and a wrong one refused."""

from pathlib import Path

import pytest

from cli_builders import here
from seqd.errors import InvalidSettings
from seqd.settings import Settings, load_settings, unknown_variables


def test_a_variable_that_is_no_setting_is_told_with_what_was_probably_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEQD_MAX_TENNANT_JOBS", "1")
    monkeypatch.setenv("SEQD_COLOUR", "blue")

    assert unknown_variables() == [
        "SEQD_COLOUR is no setting and changes nothing.",
        "SEQD_MAX_TENNANT_JOBS is no setting and changes nothing. Did you mean "
        "'SEQD_MAX_TENANT_JOBS'?",
    ]


def test_settings_and_the_variables_of_others_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # Case is no matter to the settings, and a worker's own two are settings as well.
    for name in ("SEQD_LEASE_S", "seqd_heartbeat_s", "SEQD_SLOT", "SEQD_WORKER", "SEQ_LEASE_S"):
        monkeypatch.setenv(name, "1")

    assert unknown_variables() == []


@pytest.mark.parametrize(
    ("arguments", "status"), [(("up", "--slots", "tpu:0"), 2), (("worker", "--slot", "tpu:0"), 78)]
)
def test_what_starts_workers_warns_of_a_misspelt_variable_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
) -> None:
    monkeypatch.setenv("SEQD_LAESE_S", "20")

    ended = here(capsys, *arguments)

    warning = (
        "warning: SEQD_LAESE_S is no setting and changes nothing. Did you mean 'SEQD_LEASE_S'?"
    )
    assert ended.err.splitlines()[0] == warning
    assert ended.err.count("SEQD_LAESE_S") == 1
    assert ended.err.splitlines()[1].startswith("error[")
    assert ended.status == status


@pytest.mark.parametrize(("command", "status"), [("up", 2), ("worker", 78)])
def test_a_wrong_setting_ends_up_with_2_and_a_worker_with_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, status: int
) -> None:
    monkeypatch.setenv("SEQD_LEASE_S", "soon")

    ended = here(capsys, command)

    assert ended.err.startswith("error[invalid_settings]: SEQD_LEASE_S is 'soon': ")
    assert ended.status == status


def test_the_file_of_a_certificate_is_the_same_in_each_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert Settings(redis_ca_file="ca.pem").redis_ca_file == tmp_path / "ca.pem"


def test_a_secret_is_read_from_a_file_and_a_variable_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seqd_redis_url").write_text("redis://:from-a-file@localhost:6379/0\n")
    monkeypatch.setenv("SEQD_SECRETS_DIR", str(tmp_path))

    assert load_settings().redis_url == "redis://:from-a-file@localhost:6379/0"
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://localhost:6380/1")
    assert load_settings().redis_url == "redis://localhost:6380/1"
    assert load_settings(redis_url="redis://localhost:1/2").redis_url == "redis://localhost:1/2"


def test_a_folder_of_secrets_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQD_SECRETS_DIR", str(tmp_path / "none"))

    with pytest.raises(InvalidSettings, match=r"^SEQD_SECRETS_DIR is '.*none', which is no folder"):
        load_settings()


def test_labels_of_a_worker_are_read_by_key(monkeypatch):
    monkeypatch.setenv("SEQD_WORKER_LABELS", "pool=a, example.org/zone=b,empty=")

    assert load_settings().labels == {"pool": "a", "example.org/zone": "b", "empty": ""}


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("pool", "'pool' is no label; allowed: KEY=VALUE of letters, digits"),
        ("=a", "'=a' is no label"),
        ("pool=a b", "'pool=a b' is no label"),
        ("pool=a,pool=b", "'pool' is there 2 times; give each key once"),
    ],
)
def test_labels_that_are_none_are_refused(monkeypatch, typed, reason):
    monkeypatch.setenv("SEQD_WORKER_LABELS", typed)

    with pytest.raises(InvalidSettings) as refused:
        load_settings()

    assert "SEQD_WORKER_LABELS" in str(refused.value)
    assert reason in str(refused.value)
