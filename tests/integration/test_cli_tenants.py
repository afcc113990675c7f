"""`seqd tenants` as an operator uses it, beside a worker that computes."""

import csv
import io
import json
from collections.abc import Mapping

import pytest

from cli_builders import Ended, here, use_ledger
from seqd.client import Client
from seqd.errors import NotAllowed
from seqd.settings import Settings
from seqd.testing import RunningServices, StubModel

pytest_plugins = ["seqd.testing.services"]

pytestmark = pytest.mark.processes


@pytest.fixture
def seqd_models() -> Mapping[str, StubModel]:
    return {"echo": StubModel(classify=lambda text: text, train=lambda records: {"loss": 0.1})}


def classify(client: Client, tenant: str, texts: int) -> None:
    job = client.classify(["good"] * texts, model="echo", tenant=tenant)
    assert job.wait(timeout_s=120).counts.succeeded == texts


def rows_of(ended: Ended) -> dict[str, dict[str, str]]:
    rows = csv.DictReader(io.StringIO(ended.out))
    return {row["tenant"]: row for row in rows}


def test_an_operator_sets_limits_and_splits_a_bill_and_every_command_of_the_guide_is_one(
    seqd_services: RunningServices, seqd_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client = seqd_client
    assert here(capsys, "tenants", "list").out == "No tenants.\n"

    told = here(capsys, "tenants", "set", "alice", "--weight", "3", "--priorities", "normal,bulk")
    assert told.status == 0
    assert "weight         3 (its own)" in told.out
    with pytest.raises(NotAllowed, match="may not use the priority interactive; allowed: normal, "):
        client.classify(["good"], model="echo", tenant="alice", priority="interactive")
    classify(client, "alice", 300)
    classify(client, "bob", 100)
    training = client.train([{"text": "a", "label": "pos"}], model="echo", tenant="bob")
    assert training.wait(timeout_s=120).training is not None

    bill = rows_of(here(capsys, "tenants", "usage", "--csv"))
    assert {name: row["items"] for name, row in bill.items()} == {"alice": "300", "bob": "100"}
    assert (bill["alice"]["trainings"], bill["bob"]["trainings"]) == ("0", "1")
    assert int(bill["alice"]["tokens"]) == 3 * int(bill["bob"]["tokens"]) > 0
    assert float(bill["bob"]["busy_s"]) > 0
    shown = json.loads(here(capsys, "tenants", "show", "alice", "--json").out)
    assert shown["tenant"]["own"]["weight"] == 3
    assert shown["usage"][0]["items"] == 300
    listed = here(capsys, "tenants", "list").out
    assert "priorities=normal,bulk" in listed
    alone = json.loads(here(capsys, "tenants", "usage", "--tenant", "bob", "--json").out)
    assert [row["tenant"] for row in alone] == ["bob"]

    assert here(capsys, "tenants", "set", "alice", "--unset", "all").status == 0
    assert json.loads(here(capsys, "tenants", "show", "alice", "--json").out)["tenant"]["own"] == (
        dict.fromkeys(shown["tenant"]["own"])
    )


#: Commands with a mistake, and what is said of it.
MISTAKES = [
    (("show", "nobody"), "error[unknown_tenant]: No tenant 'nobody' has limits, jobs or "),
    (("show", "no body"), "error[invalid_request]: The tenant is 'no body'; allowed: 1 to 64"),
    (("set", "alice"), "error[invalid_request]: There is nothing to set. Name a limit: "),
    (("set", "alice", "--weight", "0"), "error[invalid_request]: limit 'weight' is '0': "),
    (("set", "alice", "--jobs", "many"), "error[invalid_request]: limit 'jobs' is 'many': "),
    (("set", "alice", "--unset", "job"), "error[invalid_request]: 'job' is no limit of a"),
    (("usage", "--from", "soon"), "error[invalid_request]: --from is 'soon'; allowed: a day "),
    (
        ("usage", "--from", "2026-02-01", "--to", "2026-01-01"),
        "error[invalid_request]: --from is 2026-02-01, which is after --to, 2026-01-01",
    ),
    (("usage", "--json", "--csv"), "error[invalid_request]: --json and --csv are both given"),
    (("usage", "--tenant", "a b"), "error[invalid_request]: The tenant is 'a b'; allowed: "),
]


def test_a_mistake_exits_with_2_and_says_what_is_allowed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_ledger(monkeypatch, settings)

    for arguments, message in MISTAKES:
        ended = here(capsys, "tenants", *arguments)

        assert ended.status == 2, arguments
        assert ended.err.startswith(message)
