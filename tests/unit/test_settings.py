"""Settings as operators write them: what is no setting, what is a slip, and what is refused."""

from pathlib import Path

import pytest

from cli_builders import Ended, here
from seqd.cli import options
from seqd.errors import InvalidSettings
from seqd.settings import Settings, load_settings
from seqd.variables import unknown_variables


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_told", set())


def sentences() -> list[str]:
    return [variable.sentence for variable in unknown_variables()]


def slips() -> list[str | None]:
    return [variable.meant for variable in unknown_variables()]


def test_a_variable_that_is_no_setting_is_told_with_what_was_probably_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEQD_MAX_TENNANT_JOBS", "1")
    monkeypatch.setenv("SEQD_COLOUR", "blue")
    monkeypatch.setenv("SEQD_LEASE_SECONDS", "20")

    assert sentences() == [
        "SEQD_COLOUR is no setting and changes nothing.",
        "SEQD_LEASE_SECONDS is no setting and changes nothing. Did you mean 'SEQD_LEASE_S'?",
        "SEQD_MAX_TENNANT_JOBS is no setting and changes nothing. Did you mean "
        "'SEQD_MAX_TENANT_JOBS'?",
    ]
    assert slips() == [None, None, "SEQD_MAX_TENANT_JOBS"]


def test_settings_and_the_variables_of_others_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # Case is no matter to the settings, and a worker's own two are settings as well.
    for name in ("SEQD_LEASE_S", "seqd_heartbeat_s", "SEQD_SLOT", "SEQD_WORKER", "SEQ_LEASE_S"):
        monkeypatch.setenv(name, "1")

    assert unknown_variables() == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SEQD_LAESE_S", "SEQD_LEASE_S"),  # swapped
        ("SEQD_LEASES", "SEQD_LEASE_S"),  # dropped
        ("SEQD_LEASE", "SEQD_LEASE_S"),  # two dropped
        ("SEQD_LEASE_SX", "SEQD_LEASE_S"),  # added
        ("SEQD_HEARTBEET_S", "SEQD_HEARTBEAT_S"),  # replaced
        ("SEQD_REDISURL", "SEQD_REDIS_URL"),
        ("seqd_laese_s", "SEQD_LEASE_S"),
        ("SEQD_SLOTZ", "SEQD_SLOTS"),
        ("SEQD_LAESE_SX", "SEQD_LEASE_S"),
        ("SEQD_LAESEXYS", None),  # three edits
        ("SEQD_ROOT", None),  # two of four letters make another word than SLOT
        ("SEQD_ROOTS", None),
        ("SEQD_HOST", None),
    ],
)
def test_a_name_within_two_edits_of_a_settings_is_a_slip(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    monkeypatch.setenv(name, "1")

    assert slips() == [meant]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEQD_SERVICE_HOST", "10.0.0.1"),
        ("SEQD_SERVICE_PORT", "6379"),
        ("SEQD_SERVICE_PORT_METRICS", "9808"),
        ("SEQD_PORT", "tcp://10.0.0.1:6379"),
        ("SEQD_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
        ("SEQD_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("SEQD_REDIS_PORT_6379_TCP_PORT", "6379"),
        ("SEQD_REDIZ_PORT", "tcp://10.0.0.1:6379"),  # a service that is called seqd-rediz
    ],
)
def test_what_kubernetes_sets_for_a_service_is_no_slip(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert slips() == [None]
    assert sentences() == [
        f"{name} is no setting and changes nothing. It is Kubernetes' own, of a service; "
        "`enableServiceLinks: false` leaves it out."
    ]


def test_a_misspelt_port_with_a_number_is_a_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQD_REDIZ_PORT", "6379")

    assert slips() == ["SEQD_REDIS_PORT"]


@pytest.mark.parametrize("command", ["up", "worker"])
def test_what_starts_workers_ends_with_78_over_a_misspelt_variable_and_names_the_right_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("SEQD_LAESE_S", "20")
    monkeypatch.setenv("SEQD_COLOUR", "blue")

    ended = here(capsys, command)

    assert ended.status == 78
    assert ended.err.splitlines() == [
        "warning: SEQD_COLOUR is no setting and changes nothing.",
        "error[invalid_settings]: SEQD_LAESE_S is no setting and changes nothing. Did you mean "
        "'SEQD_LEASE_S'? Correct the name, or remove the variable.",
    ]


def test_any_other_command_warns_of_a_misspelt_variable_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_LAESE_S", "20")

    ended = here(capsys, "settings", "--json")

    assert ended.status == 0
    assert ended.err == (
        "warning: SEQD_LAESE_S is no setting and changes nothing. Did you mean 'SEQD_LEASE_S'?\n"
    )


def test_many_variables_that_are_no_setting_are_one_line_beside_those_that_may_be_slips(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(300):
        monkeypatch.setenv(f"SEQD_JUNK_{number:03}", "1")
    monkeypatch.setenv("SEQD_LAESE_MS", "20")

    ended = here(capsys, "settings", "--json")

    assert ended.status == 0
    assert ended.err == (
        "warning: SEQD_LAESE_MS is no setting and changes nothing. Did you mean 'SEQD_LEASE_S'?\n"
        "warning: SEQD_JUNK_000 is no setting and changes nothing. So it is with 299 more: seqd "
        "doctor\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up", "--slots", "tpu:0"), "'tpu:0'"),
        (("worker", "--slot", "tpu:0"), "'tpu:0'"),
    ],
)
def test_a_wrong_slot_ends_what_starts_workers_with_78(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    ended = here(capsys, *arguments)

    assert ended.status == 78
    assert message in ended.err


@pytest.mark.parametrize("command", ["up", "worker"])
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LEASE_S": "soon"}, "SEQD_LEASE_S is 'soon': Input should be a valid number"),
        ({"LEASE_S": "0"}, "SEQD_LEASE_S is '0': Input should be greater than 0."),
        (
            {"LEASE_S": "10", "HEARTBEAT_S": "6"},
            "SEQD_HEARTBEAT_S is '6': allowed: at most half of SEQD_LEASE_S, which is 10.",
        ),
        (
            {"LEASE_S": "10"},  # against the default
            "SEQD_HEARTBEAT_S is 10.0: allowed: at most half of SEQD_LEASE_S, which is 10.",
        ),
        (
            {"ABANDONED_UPLOAD_S": "15"},
            "SEQD_UPLOAD_SILENCE_S is 10.0: allowed: at most half of SEQD_ABANDONED_UPLOAD_S, "
            "which is 15.",
        ),
        (
            {"MAX_RESULTS_TTL_S": "3600", "MIN_KEPT_S": "7200"},
            "SEQD_MIN_KEPT_S is '7200': allowed: at most SEQD_MAX_RESULTS_TTL_S, which is 3600.",
        ),
        (
            {"ENABLED_PLUGINS": "markov,critics", "DISABLED_PLUGINS": "critics"},
            "SEQD_DISABLED_PLUGINS is 'critics': SEQD_ENABLED_PLUGINS names critics, too; "
            "allowed: one.",
        ),
        ({"REDIS_URL": "http://h:1"}, "SEQD_REDIS_URL is 'http://h:1': it must begin with "),
    ],
)
def test_a_wrong_or_contradictory_setting_ends_up_and_a_worker_with_78(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    variables: dict[str, str],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SEQD_{name}", value)

    ended = here(capsys, command)

    assert ended.err.startswith(f"error[invalid_settings]: {message}")
    assert ended.status == 78


def test_a_port_to_open_and_a_server_that_runs_elsewhere_end_up_with_78(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SEQD_REDIS_PORT", "6379")

    ended = here(capsys, "up")

    assert ended.status == 78
    assert "SEQD_REDIS_PORT is 6379, the port of a server to start, but" in ended.err


def test_an_address_that_kubernetes_has_set_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEQD_REDIS_PORT", "tcp://10.0.0.1:6379")

    with pytest.raises(InvalidSettings, match="give the pod `enableServiceLinks: false`"):
        load_settings()


def test_quotes_that_a_file_of_variables_has_left_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", '"redis://:secret@h:1/0"')
    monkeypatch.setenv("SEQD_LEASE_S", " '40' ")

    settings = load_settings()

    assert settings.redis_url == "redis://:secret@h:1/0"
    assert settings.lease_s == 40


@pytest.mark.parametrize("empty", ["", "  ", '""'])
def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SEQD_{name.upper()}", raising=False)
    defaults = load_settings()
    for name in set(Settings.model_fields) - {"input_roots"}:
        monkeypatch.setenv(f"SEQD_{name.upper()}", empty)

    settings = load_settings()

    assert settings == defaults
    assert settings.model_fields_set == set()


def test_empty_input_roots_are_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQD_INPUT_ROOTS", "")

    assert load_settings().input_roots == ()


def row(ended: Ended, name: str) -> dict[str, object]:
    rows = ended.json()
    assert isinstance(rows, list)
    return next(row for row in rows if row["name"] == name)


def test_the_settings_are_shown_with_their_origin_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://:hunter2@h:1/0")
    monkeypatch.setenv("SEQD_LEASE_S", "40")
    monkeypatch.setenv("SEQD_HEARTBEAT_S", "")

    ended = here(capsys, "settings", "--json")
    told = here(capsys, "settings")

    assert row(ended, "SEQD_REDIS_URL")["value"] == "redis://:***@h:1/0"
    assert row(ended, "SEQD_LEASE_S") == {
        "name": "SEQD_LEASE_S",
        "value": 40.0,
        "origin": "environment",
        "description": "Seconds for which a claimed unit is reserved.",
    }
    assert row(ended, "SEQD_HEARTBEAT_S")["origin"] == "default"
    assert "SEQD_LEASE_S " in told.out
    assert "hunter2" not in ended.out + told.out


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


def test_models_that_a_worker_serves_are_names_without_a_version(monkeypatch):
    monkeypatch.setenv("SEQD_SERVES", "topics, imdb_lstm")
    served = load_settings().serves
    monkeypatch.setenv("SEQD_SERVES", "topics@2")

    with pytest.raises(InvalidSettings) as refused:
        load_settings()

    assert served == ("topics", "imdb_lstm")
    assert "'topics@2' is no name of a model; allowed: small letters, digits and `_`" in str(
        refused.value
    )
