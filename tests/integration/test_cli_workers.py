"""`seqd workers` as an operator uses it on a fleet that the ledger shows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from builders import a_catalog_entry, a_worker_status
from cli_builders import Ended, here, use_ledger
from ledger_fixtures import Environment, publish_entries
from seqd_schemas import Cordon, UnfitVersion
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

Seqd = Callable[..., Ended]


@pytest.fixture
def seqd(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Seqd:
    """Return what runs `seqd workers …` in this process, on the ledger of the test."""
    use_ledger(monkeypatch, environment.settings)
    return lambda *words: here(capsys, "workers", *words)


def publish(
    environment: Environment, *names: str, supervised: bool = False, **changes: object
) -> None:
    fields = {"versions": {"topics": (1,)}, "tasks": ("classify", "generate")} | changes
    for name in names:
        status = a_worker_status(worker=name, **fields)
        status = status.model_copy(update={"supervised": supervised})
        environment.ledger.fleet.publish_worker(status, ttl_s=60)


def test_uncordon_all_ends_a_drain_of_all_and_no_rule_of_a_single_target(
    environment: Environment, seqd: Seqd
) -> None:
    publish(environment, "w1", "w2", "w3")
    assert seqd("cordon", "w1", "--yes", "--reason", "ECC").status == 0
    assert seqd("drain", "w2", "--yes").status == 0
    assert seqd("drain", "--all", "--yes", "--reason", "upgrade").status == 0
    publish(environment, "w1", cordon=Cordon(phase="cordoned", target="worker:w1", since_ms=1))

    lifted = seqd("uncordon", "--all", "--wait", "--timeout-s", "5")
    again = seqd("uncordon", "--all")

    stay = "Other rules stay: w1 (cordon), w2 (drain).\n"
    assert lifted.out == f"Uncordoned --all.\n{stay}Ready.\n"
    assert again.out == f"No rule of `drain --all` stands.\n{stay}"
    assert {rule.target for rule in environment.ledger.cordons.rules()} == {
        "worker:w1",
        "worker:w2",
    }
    assert "; others stay." in " ".join(seqd("uncordon", "--help").out.split())


def test_a_drain_of_all_without_a_worker_says_that_none_is_up(seqd: Seqd) -> None:
    assert seqd("drain", "--all").err == (
        "error[unknown_worker]: No worker is up. With --ahead the rule is made for one that starts "
        "later.\n"
    )


def test_an_uncordon_in_the_audit_has_no_reason_of_the_rule_that_it_ends(
    environment: Environment, seqd: Seqd, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(environment, "w1")
    seqd("cordon", "w1", "--yes", "--reason", "ECC")
    seqd("uncordon", "w1")

    acts = here(capsys, "audit", "--json").json()

    told = [(one["action"], one["target"], one["details"]) for one in acts]
    assert told == [
        ("workers.uncordon", "worker:w1", {}),
        ("workers.cordon", "worker:w1", {"reason": "ECC"}),
    ]


def test_a_drain_of_the_last_worker_names_no_task_that_the_model_lacks(
    environment: Environment, seqd: Seqd
) -> None:
    publish(environment, "w1")
    publish_entries(environment.ledger.fleet, [a_catalog_entry(model="topics")])

    refused = seqd("drain", "--all")

    assert "No other worker that is up can classify topics@1: such jobs wait" in refused.err


def test_a_drain_is_not_over_while_its_worker_is_not_heard_of(
    environment: Environment, seqd: Seqd
) -> None:
    publish(environment, "w1")

    def fall_silent() -> None:
        wait_until(environment.ledger.cordons.rules, "it is to be drained")
        environment.redis.delete(environment.keys.worker("w1"))

    with ThreadPoolExecutor() as pool:
        silent = pool.submit(fall_silent)
        waited = seqd("drain", "w1", "--yes", "--wait", "--timeout-s", "2")
        silent.result()

    assert waited.status == 75
    assert "not drained" in waited.err
    assert "w1 (0 units in hand)" in waited.err
    assert environment.ledger.fleet.workers() == []


def test_a_restart_of_all_leaves_workers_alone_that_no_seqd_up_has_started_or_that_were_drained(
    environment: Environment, seqd: Seqd
) -> None:
    publish(environment, "by-hand")
    publish(environment, "ours", supervised=True)
    cordon = Cordon(phase="drained", target="slot:cpu:1@h1", since_ms=1)
    publish(environment, "cpu:1@h1", supervised=True, cordon=cordon)

    restarted = seqd("restart")
    named = seqd("restart", "by-hand")

    assert restarted.status == 0, restarted.err
    assert restarted.out == (
        "1 worker is replaced, one at a time.\n"
        "Not started by `seqd up`, and left as they are: by-hand.\n"
    )
    assert named.status == 2
    assert "by-hand: not started by `seqd up`" in named.err


def test_a_restart_says_what_the_workers_that_have_come_cannot_run(
    environment: Environment, seqd: Seqd
) -> None:
    publish(environment, "old", supervised=True)
    unfit = UnfitVersion(
        model="topics", version=1, code="damaged", message="a.npz is damaged.", since_ms=0
    )
    elsewhere = UnfitVersion(model="echo", version=1, code="missing", message="-", since_ms=0)
    publish(environment, "another", slot="cpu:7", unfit=(elsewhere,))

    def replace_it() -> None:
        wait_until(environment.ledger.cordons.rules, "it is to be replaced")
        publish(environment, "new", supervised=True, versions={"topics": ()}, unfit=(unfit,))
        environment.ledger.fleet.forget_worker("old")

    with ThreadPoolExecutor(1) as pool:
        replaced = pool.submit(replace_it)
        restarted = seqd("restart", "old", "--wait", "--timeout-s", "120")
        replaced.result()

    assert (restarted.status, restarted.err) == (0, "")
    said = " ".join(restarted.out.split())
    assert said.startswith(
        "1 worker is replaced, one at a time. Replaced. Worker new (host here) cannot run "
        "topics@1: damaged: a.npz is damaged. `seqd doctor --deep` on here names the files."
    )
    assert "echo@1" not in said
