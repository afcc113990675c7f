"""Names for labels and a least score, from both clients and the command line to the results."""

import asyncio
import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from async_builders import an_async_client
from cli_builders import Ended, here, use_ledger
from seqd.client import Client
from seqd.errors import JobFailed
from seqd.models.store import ModelStore
from seqd_schemas import Classification
from store_builders import publish
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes]

#: A text whose classes the model of these tests reads in it.
TEXT = "shares bad=0.3 good=0.4 awful=0.3"
MAP = {"awful": "bad"}


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def seqd(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
) -> Ended:
    use_ledger(monkeypatch, cluster.commands)
    return here(capsys, *arguments)


def answer(label: str, score: float, **more: object) -> Classification:
    return Classification.model_validate(
        {"label": label, "score": score, "truncated": False, **more}
    )


def test_jobs_with_other_names_for_labels_get_their_own_results_whatever_runs_together(
    client: Client,
) -> None:
    # A unit of 40 ms first, so that the others wait together and could come in one claim.
    client.classify(["a"] * 8, model="echo", parameters={"delay_ms": 5})
    asked: list[dict[str, object]] = [
        {},
        {"label_map": MAP},
        {"label_map": {"good": "fine"}},
        {"min_score": 0.5},
        {"label_map": MAP, "min_score": 0.6, "parameters": {"probabilities": True}},
    ]
    jobs = [client.classify([TEXT], model="echo", **one) for one in asked]  # type: ignore[arg-type]

    outputs = [next(job.results()).unwrap() for job in jobs]

    assert outputs == [
        answer("good", 0.4),
        answer("bad", 0.6),
        answer("fine", 0.4),
        answer("good", 0.4, uncertain=True),
        answer("bad", 0.6, probabilities={"bad": 0.6, "good": 0.4}),
    ]


def test_single_texts_of_both_clients_are_answered_with_them(
    client: Client, cluster: Cluster
) -> None:
    async def use() -> Classification:
        async with an_async_client(cluster) as other:
            return await other.predict(TEXT, model="echo", label_map=MAP, min_score=0.7)

    expected = answer("bad", 0.6, uncertain=True)

    assert client.predict(TEXT, model="echo", label_map=MAP, min_score=0.7) == expected
    assert asyncio.run(use()) == expected
    (job,) = client.classify_each([TEXT], model="echo", label_map=MAP, min_score=0.7)
    assert next(job.results()).unwrap() == expected


def test_a_retry_asks_the_same_of_its_labels(client: Client) -> None:
    first = client.classify([TEXT, "bad"], model="echo", label_map=MAP, min_score=0.7)
    first.wait(timeout_s=120)

    again = client.retry(first, items={"row-2": TEXT})

    assert next(again.results()).unwrap() == answer("bad", 0.6, uncertain=True)


def test_a_label_that_the_version_has_not_fails_the_job_before_an_item_is_computed(
    module_cluster: Cluster, tmp_path: Path
) -> None:
    content = json.dumps({"records": 1, "classes": ["bad", "good", "awful"]})
    publish(ModelStore(module_cluster.settings.store_dir, {}), "echo", content=content)
    client, calls = module_cluster.client(), tmp_path / "calls"
    wait_until(lambda: len(client.catalog()["echo"].versions) == 2, "the version is published")

    job = client.classify(
        [TEXT] * 20,
        model="echo@2",
        label_map={"awfull": "bad"},
        parameters={"calls": str(calls)},
    )

    with pytest.raises(JobFailed) as failed:
        job.wait(timeout_s=120)
    assert (failed.value.failure.code, failed.value.failure.message) == (
        "invalid_request",
        "label_map names 'awfull', and echo@2 has no such label; it has: 'bad', 'good', 'awful'. "
        "Did you mean 'awful'?",
    )
    assert not calls.exists()


def test_each_form_of_output_marks_what_is_uncertain_and_the_summary_counts_it(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text(f"{TEXT}\nshares good=0.9 bad=0.1\n")
    asked = ("--model", "echo", "--min-score", "0.8", "--map-label", "awful=bad")
    outs = [tmp_path / f"results.{form}" for form in ("jsonl", "csv", "parquet")]

    ends = [
        seqd(cluster, capsys, monkeypatch, "classify", str(file), *asked, "--out", str(out))
        for out in outs
    ]

    assert [ended.status for ended in ends] == [0, 0, 0], ends[0].err
    assert "Uncertain, with a score below 0.8: 1 of 2 results\n" in ends[0].out
    lines = [json.loads(line)["output"] for line in outs[0].read_text().splitlines()]
    assert lines == [
        {"type": "classification", "label": "bad", "score": 0.6, "truncated": False}
        | {"uncertain": True},
        {"type": "classification", "label": "good", "score": 0.9, "truncated": False},
    ]
    with outs[1].open() as table:
        rows = list(csv.DictReader(table))
    assert [(row["label"], row["score"], row["uncertain"]) for row in rows] == [
        ("bad", "0.6", "true"),
        ("good", "0.9", "false"),
    ]
    assert pyarrow.parquet.read_table(outs[2])["uncertain"].to_pylist() == [True, False]
