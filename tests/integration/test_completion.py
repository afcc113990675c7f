"""What bash offers at the Tab key, and what any shell is answered, whatever Redis does."""

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders import a_catalog_entry, a_classify_job
from cli_builders import Ended, clean_environment, shell_answered
from ledger_fixtures import Environment, open_environment, publish_entries
from redis_fixtures import Server, forget_keys
from seqd.ledger import connect
from seqd.settings import Settings
from seqd_schemas import TaskSchema, VersionSummary
from shell_fixtures import Bash, interactive_bash, shell_environment

pytestmark = pytest.mark.processes

PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "units": {"type": "integer", "default": 100, "description": "Hidden units: [1] of them."},
        "until": {"type": "string", "description": "$(touch owned) `touch owned`; 'touch owned'"},
        "padding": {"type": "string", "enum": ["front", "masked", "$(touch owned)"]},
        "$(touch owned)": {"type": "integer"},
        "shuffle": {"type": "boolean", "default": True},
    },
}


@pytest.fixture(scope="module")
def ledger(redis_server: Server) -> Iterator[dict[str, str]]:
    """A ledger with three models and two jobs, and no worker; the variables that lead to it."""
    prefix = f"test-{secrets.token_hex(6)}"
    settings = Settings(redis_url=redis_server.url, prefix=prefix)
    train = {"train": TaskSchema(parameters=PARAMETERS, unit_items=1)}
    versions = tuple(
        VersionSummary(version=number, created_at_ms=1, metrics={}) for number in (1, 2)
    )
    entries = [
        a_catalog_entry(
            versions=versions,
            labels={"production": 1},
            tasks=train | a_catalog_entry().tasks,
            presets={"tutorial": {}, "fast": {}},
        ),
        a_catalog_entry(model="markov", tasks=train),
        a_catalog_entry(model="vectors", tasks={}, run_tasks={"embed": train["train"]}),
    ]
    with connect(redis_server.url) as redis:
        environment: Environment = open_environment(redis, settings)
        publish_entries(environment.ledger.fleet, entries)
        environment.submit_units(1, a_classify_job(tenant="shop"), job_id="abc-1")
        environment.submit_units(1, a_classify_job(), job_id="abd-2")
        environment.ledger.control.cancel("abd-2")
        yield {"SEQD_REDIS_URL": redis_server.url, "SEQD_PREFIX": prefix}
    forget_keys(redis_server.url, prefix)


@pytest.fixture(scope="module")
def bash(ledger: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    """A shell in which `seqd --install-completion` was run once."""
    home = tmp_path_factory.mktemp("home")
    installed = run_in("bash", "seqd --install-completion; exit $?", home)
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.startswith("bash completion installed in ")
    with interactive_bash(home, **ledger) as shell:
        yield shell


def run_in(
    shell: str, script: str, home: Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [shell, "-c", script],
        env=clean_environment(**variables) | shell_environment(home),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("seqd cla", "seqd classify "),
        # bash parts words at these by itself.
        ("seqd classify --model imdb_lstm@pro", "seqd classify --model imdb_lstm@production "),
        ("seqd train imdb_lstm --set units=1", "seqd train imdb_lstm --set units=100 "),
    ],
)
@pytest.mark.slow
def test_bash_completes_a_word(bash: Bash, typed: str, completed: str) -> None:
    assert bash.completed(typed) == completed


@pytest.mark.slow
def test_bash_lists_what_a_word_may_become(bash: Bash) -> None:
    assert bash.offers("seqd classify --model imdb_lstm@") == ["@2", "@production", "imdb_lstm@1"]


Answered = Callable[..., Ended]


@pytest.fixture
def answered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Answered:
    """Ask in this process as a shell's function does, with the last word incomplete."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))

    def asked(line: str, shell: str = "bash", **variables: str) -> Ended:
        words = line.split(" ")
        question = {
            "_SEQD_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        for name, value in (question | variables).items():
            monkeypatch.setenv(name, value)
        return shell_answered(capsys)

    return asked


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("seqd jobs sh", ["show"]),
        ("seqd classify --ten", ["--tenant"]),
        ("seqd classify --tenant sh", ["shop"]),
        ("seqd train ", ["imdb_lstm", "markov"]),
        ("seqd train imdb_lstm --preset tu", ["tutorial"]),
        ("seqd train imdb_lstm --set un", ["units=", "until="]),
        ("seqd sweep imdb_lstm --param shuffle=f", ["false"]),
        ("seqd jobs show ab", ["abc-1", "abd-2"]),
        ("seqd jobs cancel ab", ["abc-1"]),
        ("seqd models show mar", ["markov"]),
        ("seqd tenants show sh", ["shop"]),
        ("seqd models params mar", ["markov"]),
        ("seqd models params vectors --task e", ["embed"]),
        ("seqd run v", ["vectors"]),
        ("seqd run vectors em", ["embed"]),
        ("seqd run vectors embed -p uni", ["units=", "units=100"]),
    ],
)
def test_a_shell_is_offered_what_a_word_may_become(
    ledger: dict[str, str], answered: Answered, line: str, offers: list[str]
) -> None:
    ended = answered(line, **ledger)

    assert sorted(ended.out.split()) == offers


NOWHERE = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        *(
            (line, {"SEQD_REDIS_URL": NOWHERE})
            for line in (
                "seqd train ",
                "seqd train imdb_lstm --set ",
                "seqd jobs show ",
                "seqd classify --tenant ",
            )
        ),
        ("seqd train ", {"SEQD_REDIS_URL": "nonsense"}),
        ("seqd train ", {"SEQD_REDIS_URL": "redis://no-such-host.invalid:1/0"}),
        ("seqd train ", {"SEQD_REDIS_URL": "rediss://"}),
        ("seqd train ", {"SEQD_LEASE_S": "soon", "SEQD_REDIS_UR": "x"}),
    ],
)
def test_where_no_redis_can_be_asked_nothing_is_offered_and_nobody_is_told(
    answered: Answered, line: str, variables: dict[str, str]
) -> None:
    ended = answered(line, **variables)

    assert (ended.out, ended.err) == ("", "")


def held_open(listener: socket.socket) -> tuple[float, float]:
    """Say nothing to whoever connects; return when they were heard of, and when they went."""
    connection, _ = listener.accept()
    heard_s = time.monotonic()
    with connection:
        while connection.recv(1_024):
            pass
    return heard_s, time.monotonic()


def test_a_redis_that_does_not_answer_is_waited_for_half_a_second(answered: Answered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as thread:
        silent.settimeout(60.0)
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        held = thread.submit(held_open, silent)
        asked_s = time.monotonic()
        ended = answered("seqd train ", SEQD_REDIS_URL=url)
        # Only once: there is nobody else in the queue of those that want to connect.
        silent.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            silent.accept()

    assert (ended.status, ended.out, ended.err) == (0, "", "")
    heard_s, gone_s = held.result(timeout=120)
    # The other limit of a connection, by default, is 10 s.
    assert gone_s - asked_s > 0.4
    assert gone_s - heard_s < 8.0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_plugin_has_published_runs_in_no_shell(
    ledger: dict[str, str], answered: Answered, shell: str
) -> None:
    ended = answered("seqd train imdb_lstm --set ", shell, **ledger)

    assert "units=" in ended.out
    assert "until=" in ended.out
    assert ended.err == ""
    assert not set("$`;\\") & set(ended.out.replace("\\\\:", ""))


def test_an_explanation_stands_beside_a_value_where_a_shell_shows_it(
    ledger: dict[str, str], answered: Answered
) -> None:
    ended = answered("seqd train imdb_lstm --set uni", "fish", **ledger)

    assert ended.out == "units=\tHidden units 1 of them.\nunits=100\n"


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_function_of_a_shell_is_printed_and_fish_completes_by_it(
    ledger: dict[str, str], shell: str, tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")

    printed = run_in(shell, "seqd --show-completion; exit $status", tmp_path)

    assert "_SEQD_COMPLETE=complete_" in printed.stdout
    if shell == "fish":
        script = 'seqd --show-completion | source; complete -C "seqd jobs show abc"'
        completed = run_in(shell, script, tmp_path, **ledger)
        assert completed.stdout.split("\t")[0].strip() == "abc-1"
