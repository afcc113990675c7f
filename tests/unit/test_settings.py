"""Settings as operators write them: what is no setting, what is a slip, and what is refused."""

from pathlib import Path

import pytest

from cli_builders import Ended, here
from seqd.cli import options
from seqd.settings import ROOTS, Settings, load_settings
from seqd.variables import unknown_variables

NO_SETTING = "is no setting and changes nothing."


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch):
    monkeypatch.setattr(options, "_told", set())


def written(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set variables of seqd."""
    for name, value in variables.items():
        monkeypatch.setenv(f"SEQD_{name}", value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SEQD_LAESE_S", "SEQD_LEASE_S"),  # swapped
        ("SEQD_LEASE", "SEQD_LEASE_S"),  # two dropped
        ("SEQD_LEASE_SX", "SEQD_LEASE_S"),  # added
        ("SEQD_HEARTBEET_S", "SEQD_HEARTBEAT_S"),  # replaced
        ("seqd_laese_s", "SEQD_LEASE_S"),
        ("SEQD_LAESEXYS", None),  # three edits
        ("SEQD_ROOT", None),  # two of four letters make another word than SLOT
        ("SEQD_REDIZ_PORT", "SEQD_REDIS_PORT"),  # with a number, which no service of Kubernetes has
    ],
)
def test_a_name_within_two_edits_of_a_settings_is_a_slip(monkeypatch, name, meant):
    # Case is no matter to the settings, and a worker's own three are settings as well.
    for known in ("LEASE_S", "SLOT", "WORKER", "DEVICE"):
        monkeypatch.setenv(f"SEQD_{known}", "1")
    monkeypatch.setenv("seqd_heartbeat_s", "1")
    monkeypatch.setenv("SEQ_LEASE_S", "1")
    monkeypatch.setenv(name, "6379")

    assert [variable.meant for variable in unknown_variables()] == [meant]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEQD_SERVICE_HOST", "10.0.0.1"),
        ("SEQD_SERVICE_PORT_METRICS", "9808"),
        ("SEQD_PORT", "tcp://10.0.0.1:6379"),
        ("SEQD_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("SEQD_REDIS_PORT_6379_TCP_PORT", "6379"),
        ("SEQD_REDIZ_PORT", "tcp://10.0.0.1:6379"),  # a service that is called seqd-rediz
    ],
)
def test_what_kubernetes_sets_for_a_service_is_no_slip(monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    (variable,) = unknown_variables()

    assert variable.meant is None
    assert variable.sentence == (
        f"{name} {NO_SETTING} It is Kubernetes' own, of a service; `enableServiceLinks: false` "
        "leaves it out."
    )


@pytest.mark.parametrize("command", ["up", "worker"])
def test_what_starts_workers_ends_with_78_over_a_misspelt_variable_and_names_the_right_one(
    monkeypatch, capsys, command
):
    written(monkeypatch, LAESE_S="20", COLOUR="blue")

    ended = here(capsys, command)

    assert ended.status == 78
    assert ended.err.splitlines() == [
        f"warning: SEQD_COLOUR {NO_SETTING}",
        f"error[invalid_settings]: SEQD_LAESE_S {NO_SETTING} Did you mean 'SEQD_LEASE_S'? Correct "
        "the name, or remove the variable.",
    ]


@pytest.mark.parametrize(("command", "status"), [("settings", 0), ("worker", 78)])
def test_a_slot_in_the_environment_is_named_since_it_is_nobodys(
    monkeypatch, capsys, command, status
):
    monkeypatch.setenv("SEQD_SLOT", "gpu:0")

    ended = here(capsys, command)

    assert ended.status == status
    assert f"SEQD_SLOT {NO_SETTING} Did you mean 'SEQD_SLOTS', or `seqd worker --slot`?" in (
        ended.err
    )


def test_any_other_command_warns_once_and_of_many_that_may_be_no_slips_in_one_line(
    monkeypatch, capsys
):
    written(monkeypatch, LAESE_MS="20", **{f"JUNK_{number:03}": "1" for number in range(300)})

    ended = here(capsys, "settings", "--json")

    assert ended.status == 0
    assert ended.err == (
        f"warning: SEQD_LAESE_MS {NO_SETTING} Did you mean 'SEQD_LEASE_S'?\n"
        f"warning: SEQD_JUNK_000 {NO_SETTING} So it is with 299 more: seqd doctor\n"
    )


HALF = "allowed: at most half of"
HTTP = {"REDIS_URL": "http://h:1"}
CLASHING_PORT = {"REDIS_URL": "redis://127.0.0.1:1/0", "REDIS_PORT": "6379"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LEASE_S": "soon"}, "SEQD_LEASE_S is 'soon': Input should be a valid number"),
        ({"LEASE_S": "0"}, "SEQD_LEASE_S is '0': Input should be greater than 0."),
        (
            {"LEASE_S": "10", "HEARTBEAT_S": "6"},
            f"SEQD_HEARTBEAT_S is '6': {HALF} SEQD_LEASE_S, which is 10.",
        ),
        # Against the default.
        ({"LEASE_S": "10"}, f"SEQD_HEARTBEAT_S is 10.0: {HALF} SEQD_LEASE_S, which is 10."),
        (
            {"ABANDONED_UPLOAD_S": "15"},
            f"SEQD_UPLOAD_SILENCE_S is 10.0: {HALF} SEQD_ABANDONED_UPLOAD_S, which is 15.",
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
        ({"REDIS_PORT": "tcp://10.0.0.1:6379"}, "SEQD_REDIS_PORT is 'tcp://10.0.0.1:6379'"),
        (
            {"WORKER_LABELS": "pool"},
            "SEQD_WORKER_LABELS is 'pool': 'pool' is no label; allowed: KEY=VALUE of letters, ",
        ),
        ({"WORKER_LABELS": "pool=a b"}, "SEQD_WORKER_LABELS is 'pool=a b': 'pool=a b' is no label"),
        (
            {"WORKER_LABELS": "pool=a,pool=b"},
            "SEQD_WORKER_LABELS is 'pool=a,pool=b': 'pool' is there 2 times; give each key once",
        ),
        (
            {"SERVES": "topics@2"},
            "SEQD_SERVES is 'topics@2': 'topics@2' is no name of a model; allowed: small letters, "
            "digits and `_`",
        ),
        (
            {"STORE_URL": "s3://key:secret@models/seqd"},
            "SEQD_STORE_URL is ***: allowed: s3://BUCKET or s3://BUCKET/FOLDER, of letters, ",
        ),
        (
            {"STORE_URL": "file:///srv/models"},
            "SEQD_STORE_URL is ***: allowed: s3://BUCKET or s3://BUCKET/FOLDER, of letters, "
            "digits and `._-`, without credentials, which come by AWS_PROFILE and the like. For a "
            "folder set SEQD_DATA_DIR. ",
        ),
        (
            {"INPUT_ROOTS": "/a:gs://b/c"},
            "SEQD_INPUT_ROOTS is ***: allowed: folders, and URLs such",
        ),
        ({"OUTPUT_ROOTS": "s3://key:secret@b/c"}, "SEQD_OUTPUT_ROOTS is ***: allowed: folders, "),
        (
            {"GATEWAY_FILES": "https://h/files"},
            "SEQD_GATEWAY_FILES is ***: allowed: a folder, or a URL such as s3://BUCKET",
        ),
        (
            {"GATEWAY_FILES": "s3://key:secret@b/c"},
            "SEQD_GATEWAY_FILES is ***: allowed: a folder, ",
        ),
        ({"SECRETS_DIR": "/nowhere"}, "SEQD_SECRETS_DIR is '/nowhere', which is no folder"),
    ],
)
def test_a_wrong_or_contradictory_setting_is_named_with_what_is_allowed(
    monkeypatch, capsys, variables, message
):
    written(monkeypatch, **variables)

    ends = {command: here(capsys, command) for command in ("up", "worker", "settings", "status")}

    # What starts workers tells its supervisor not to try again.
    assert {command: ended.status for command, ended in ends.items()} == {
        "up": 78,
        "worker": 78,
        "settings": 2,
        "status": 2,
    }
    for command, ended in ends.items():
        assert ended.err.startswith(f"error[invalid_settings]: {message}"), command


@pytest.mark.parametrize(
    ("command", "variables", "message"),
    [
        ("up --slots tpu:0", {}, "'tpu:0'"),
        ("up", HTTP, "SEQD_REDIS_URL is 'http://h:1': it must begin with "),
        ("worker", HTTP, "SEQD_REDIS_URL is 'http://h:1': it must begin with "),
        ("worker --slot tpu:0", {}, "'tpu:0' is no slot."),
        ("up", CLASHING_PORT, "SEQD_REDIS_PORT is 6379, the port of a server to start, but"),
        (
            "up --redis-port 7000",
            {"REDIS_URL": "redis://127.0.0.1:1/0"},
            "--redis-port is 7000, the port of a server to start",
        ),
        ("up", {"REDIS_PORT": "tcp://h:1"}, "give the pod `enableServiceLinks: false`"),
    ],
)
def test_what_nothing_can_be_started_with_ends_with_78(
    monkeypatch, capsys, command, variables, message
):
    written(monkeypatch, **variables)

    ended = here(capsys, *command.split())

    assert ended.status == 78
    assert message in ended.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ('"redis://:secret@h:1/0"', "redis://:secret@h:1/0"),
        ("'redis://h:1/0'", "redis://h:1/0"),
        ('" redis://h:1/0 "', "redis://h:1/0"),
        ('""', None),
    ],
)
def test_spaces_and_one_pair_of_quotes_around_a_value_are_no_part_of_it(monkeypatch, typed, meant):
    written(monkeypatch, REDIS_URL=typed, LEASE_S=" '40' ")

    settings = load_settings()

    assert (settings.redis_url, settings.lease_s) == (meant, 40)


@pytest.mark.parametrize("empty", ["", "  ", '""'])
def test_an_empty_value_counts_as_not_set_but_for_roots_which_are_none_then(monkeypatch, empty):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SEQD_{name.upper()}", raising=False)
    defaults = load_settings()
    for name in set(Settings.model_fields) - set(ROOTS):
        monkeypatch.setenv(f"SEQD_{name.upper()}", empty)

    settings = load_settings()
    written(monkeypatch, INPUT_ROOTS="", OUTPUT_ROOTS="")
    with_none = load_settings()

    assert settings == defaults
    assert settings.model_fields_set == set()
    assert (with_none.input_roots, with_none.output_roots) == ((), ())


def test_uploaded_files_lie_in_a_folder_or_at_a_url(monkeypatch):
    def root_of(value: str) -> Path | str:
        monkeypatch.setenv("SEQD_GATEWAY_FILES", value)
        return load_settings().files_root

    assert root_of("s3://bucket/files/") == "s3://bucket/files"
    assert load_settings().readable_roots == ("s3://bucket/files",)
    assert root_of("files") == Path("files").absolute()


def test_roots_are_folders_and_urls_of_buckets(monkeypatch):
    written(monkeypatch, INPUT_ROOTS="/data:s3://bucket-7/in:s3://bucket-8:/more://mnt")

    assert load_settings().input_roots == (
        *(Path("/data"), "s3://bucket-7/in", "s3://bucket-8", Path("/more"), Path("//mnt")),
    )


def row(ended: Ended, name: str) -> dict[str, object]:
    rows = ended.json()
    assert isinstance(rows, list)
    return next(row for row in rows if row["name"] == name)


def test_the_settings_are_shown_with_their_origin_and_no_secret(monkeypatch, capsys):
    written(monkeypatch, REDIS_URL="redis://:hunter2@h:1/0", LEASE_S="40", HEARTBEAT_S="")

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


def test_files_and_lists_are_read_as_they_are_meant(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    written(
        monkeypatch,
        WORKER_LABELS="pool=a, example.org/zone=b,empty=",
        SERVES="topics, imdb_lstm",
        REDIS_CA_FILE="ca.pem",
    )

    settings = load_settings()

    assert settings.labels == {"pool": "a", "example.org/zone": "b", "empty": ""}
    assert settings.serves == ("topics", "imdb_lstm")
    assert settings.redis_ca_file == tmp_path / "ca.pem"


def test_a_secret_is_read_from_a_file_and_a_variable_goes_before_it(tmp_path, monkeypatch):
    (tmp_path / "seqd_redis_url").write_text("redis://:from-a-file@localhost:6379/0\n")
    written(monkeypatch, SECRETS_DIR=str(tmp_path))

    assert load_settings().redis_url == "redis://:from-a-file@localhost:6379/0"
    written(monkeypatch, REDIS_URL="redis://localhost:6380/1")
    assert load_settings().redis_url == "redis://localhost:6380/1"
    assert load_settings(redis_url="redis://localhost:1/2").redis_url == "redis://localhost:1/2"
