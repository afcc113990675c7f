"""What comes out of a bench: its shares of time, its tables, its JSON."""

import json

import pytest

from cli_builders import a_record
from seqd.bench.machine import Machine
from seqd.bench.report import Column, Fact, Grid, Latencies, Report, Row, Section
from seqd.bench.showing import show, shown
from seqd.bench.spending import Spending, batch_facts, time_facts, work_between
from seqd.cli.rendering.screen import Screen
from seqd_schemas import WorkTotals

MACHINE = Machine("A Processor", 2, 8 << 30, "Linux 6", "3.12.1", {"seqd": "0.1.0"})


def a_report(*sections: Section) -> Report:
    return Report(
        bench="classify",
        what="reviews beside their peers",
        machine=MACHINE,
        setup={"rounds in turn": 3, "reviews": 5_000, "reviews from": "a test"},
        load_before=0.5,
        load_after=1.5,
        sections=list(sections),
        notes=["something was left out"],
    )


def a_spending(work: WorkTotals, started_ms: int = 1_500, ended_ms: int = 3_500) -> Spending:
    """A job that was handed in at 1,000 ms and ran on two slots for 2 s each."""
    record = a_record(created_at_ms=1_000, started_at_ms=started_ms, ended_at_ms=ended_ms)
    return Spending(work, record, slots=2, cpu_s={"client": 0.1})


def test_a_stages_share_is_of_all_slots_time_and_the_rest_is_told():
    work = WorkTotals(claim_s=0.1, unpack_s=0.1, vectorise_s=0.2, compute_s=3.0, commit_s=0.2)

    shares = {fact.name.split(":")[0]: fact.value for fact in time_facts([a_spending(work)])}

    # Of 2 slots x 2 s; 4 - 3.6 are left.
    assert shares == pytest.approx(
        {
            "claim": 0.025,
            "unpack": 0.025,
            "vectorise": 0.05,
            "compute": 0.75,
            "commit": 0.05,
            "the rest": 0.1,
        }
    )


def test_jobs_are_summed_up_by_their_time():
    short = a_spending(WorkTotals(compute_s=2.0), ended_ms=2_500)
    long = a_spending(WorkTotals(compute_s=1.0), ended_ms=4_500)

    shares = {fact.name.split(":")[0]: fact.value for fact in time_facts([short, long])}

    assert shares["compute"] == pytest.approx(3 / 8)


def test_the_wait_in_the_queue_is_from_acceptance_to_the_first_claim():
    assert a_spending(WorkTotals()).queued_ms == 500


def test_batches_have_a_mean_size_and_their_padding():
    work = WorkTotals(batches=4, batch_items=400, real_tokens=9_000, computed_tokens=10_000)

    size, padding = batch_facts([a_spending(work)])

    assert size.value == 100
    assert padding.value == pytest.approx(0.1)


def test_a_model_that_tells_of_no_batch_has_no_size():
    assert batch_facts([a_spending(WorkTotals(items=5))]) == []


def test_work_between_two_readings_is_their_difference():
    before, after = WorkTotals(items=5, compute_s=1.0), WorkTotals(items=7, compute_s=1.5)

    assert work_between(before, after) == WorkTotals(items=2, compute_s=0.5)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12_345.6, "a second", "12,346"),
        (12.34, "a second", "12.3"),
        (40, "count", "40"),
        (222.4, "count", "222"),
        (0.1234, "share", "12.3%"),
        (4.567, "times", "4.57"),
        (123.45, "times", "123.5"),
        (0.5, "s", "0.50 s"),
        (24.3, "ms", "24.30 ms"),
        (1_500_000, "bytes", "1.5 MB"),
        (1.88412, "bits", "1.8841"),
        (1.3943, "nats", "1.3943"),
    ],
)
def test_figures_are_shown_with_their_unit(value, unit, text):
    assert shown(value, unit) == text


def test_a_report_names_the_machine_the_rounds_and_the_spread(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = Section("reviews a second", [Row("seqd", "a second", [9_000.0, 8_000.0, 10_000.0])])
    latencies = Section("idle", latencies=[Latencies("one review", [1.0, 2.0, 30.0])])
    grid = Section("time", grid=Grid([Column("reviews", "count"), Column("took", "s")], [[5, 1.5]]))

    show(
        a_report(rows, latencies, Section("facts", facts=[Fact("share", "share", 0.5)]), grid),
        Screen(),
    )

    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "seqd bench classify: reviews beside their peers",
        "machine         A Processor, 2 cores, 8 GiB, Linux 6",
        "versions        Python 3.12.1, seqd 0.1.0",
        "load average    0.5 to 1.5",
        "rounds in turn  3",
        "reviews         5,000",
        "reviews from    a test",
        "",
        "reviews a second  median  lowest  highest",
        "seqd               9,000   8,000   10,000",
        "",
        "idle        number   median       99%   longest",
        "one review       3  2.00 ms  30.00 ms  30.00 ms",
        "",
        "facts",
        "share  50.0%",
        "",
        "time  reviews    took",
        "            5  1.50 s",
        "",
        "Note: something was left out",
    ]


def test_the_json_of_a_report_has_every_round():
    rows = Section("reviews a second", [Row("seqd", "a second", [9.0, 8.0, 10.0])])
    latencies = Section("idle", latencies=[Latencies("one review", [1.0, 3.0])])
    grid = Section("time", grid=Grid([Column("reviews", "count"), Column("took", "s")], [[5, 1.5]]))

    found = json.loads(json.dumps(a_report(rows, latencies, grid).as_json()))

    assert found["machine"]["processor"] == "A Processor"
    assert (found["load_before"], found["load_after"]) == (0.5, 1.5)
    assert found["setup"]["reviews"] == 5_000
    assert found["notes"] == ["something was left out"]
    assert found["sections"][0]["rows"] == [
        {
            "name": "seqd",
            "unit": "a second",
            "rounds": [9.0, 8.0, 10.0],
            "median": 9.0,
            "lowest": 8.0,
            "highest": 10.0,
        }
    ]
    (latency,) = found["sections"][1]["latencies"]
    assert latency["values_ms"] == [1.0, 3.0]
    assert (latency["median"], latency["99%"], latency["longest"]) == (1.0, 3.0, 3.0)
    assert found["sections"][2]["lines"] == [{"reviews": 5, "took": 1.5}]
