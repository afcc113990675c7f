"""Settings as operators write them: a variable that is none is told, and a wrong one refused."""

import pytest

from cli_builders import here
from seqd.settings import Settings, unknown_variables


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
