"""The order of a benchmark's rounds, their arithmetic, and what is printed of them."""

import json

import pytest

from bench.classify import batch_facts, shares_of_time
from bench.report import Report, fact, in_turn, latencies, percentile, ratios, row, show, shown
from bench.texts import Reviews


def test_sides_take_turns_and_every_other_round_goes_backwards() -> None:
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    figures = in_turn({"a": lambda: side("a"), "b": lambda: side("b")}, 3)

    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert figures == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_a_ratio_is_taken_within_a_round_and_then_summed_up() -> None:
    found = row("a / b", "times", ratios([10.0, 20.0, 30.0], [5.0, 2.0, 30.0]))

    assert (found["median"], found["lowest"], found["highest"]) == (2.0, 1.0, 10.0)
    assert found["rounds"] == [2.0, 10.0, 1.0]


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_percentiles_of_one_to_a_hundred(percent: int, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_a_stages_share_is_of_all_slots_time_and_the_rest_is_told() -> None:
    work = {"claim_s": 0.1, "unpack_s": 0.1, "vectorise_s": 0.2, "compute_s": 3.0, "commit_s": 0.2}

    shares = {one["name"].split(":")[0]: one["value"] for one in shares_of_time(work, 4.0)}

    assert shares == pytest.approx(
        {
            "claim": 0.025,
            "unpack": 0.025,
            "vectorise": 0.05,
            "compute": 0.75,
            "commit": 0.05,
            "the rest": 0.1,  # 4 s less 3.6
        }
    )


def test_batches_have_a_mean_size_and_their_padding_where_a_model_tells_of_them() -> None:
    work = {"batches": 4, "batch_items": 400, "real_tokens": 9_000, "computed_tokens": 10_000}

    size, padding = batch_facts(work)

    assert (size["value"], padding["value"]) == (100, pytest.approx(0.1))
    assert batch_facts({**work, "batches": 0}) == []


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12_345.6, "a second", "12,346"),
        (12.34, "a second", "12.3"),
        (40, "count", "40"),
        (0.1234, "share", "12.3%"),
        (4.567, "times", "4.57"),
        (123.45, "times", "123.5"),
        (0.5, "s", "0.50 s"),
        (24.3, "ms", "24.30 ms"),
        (1_500_000, "bytes", "1.5 MB"),
        (1.88412, "bits", "1.8841"),
    ],
)
def test_figures_are_shown_with_their_unit(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_a_report_is_printed_as_tables_and_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("classify", "reviews beside their peers", {"reviews": 5_000})
    report.add("reviews a second", [row("seqd", "a second", [9_000.0, 8_000.0, 10_000.0])])
    report.add("idle", latencies=[latencies("one", [1.0, 2.0, 30.0])])
    report.add("facts", facts=[fact("share", "share", 0.5)])
    report.add("time", lines=[{"reviews": 5, "took": 1.5}], units=["count", "s"])
    report.notes.append("something was left out")

    show(report)

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "classify: reviews beside their peers"
    assert "reviews                     5,000" in printed
    assert printed[printed.index("") + 1 :] == [
        "reviews a second  median  lowest  highest",
        "seqd               9,000   8,000   10,000",
        "",
        "idle   median       99%   longest",
        "one   2.00 ms  30.00 ms  30.00 ms",
        "",
        "facts  value",
        "share  50.0%",
        "",
        "time  reviews    took",
        "            5  1.50 s",
        "",
        "Note: something was left out",
    ]
    sections = json.loads(json.dumps(vars(report)))["sections"]
    assert sections[0]["rows"][0]["rounds"] == [9_000.0, 8_000.0, 10_000.0]
    assert sections[1]["latencies"][0]["values_ms"] == [1.0, 2.0, 30.0]
    assert sections[3]["lines"] == [{"reviews": 5, "took": 1.5}]


def test_a_file_of_more_reviews_than_there_are_repeats_them_with_new_ids(tmp_path) -> None:
    path = Reviews([("one", "a"), ("two", "b")], "a test").write(tmp_path / "reviews.jsonl", 3)

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["custom_id"] for row in rows] == ["review-1", "review-2", "review-3"]
    assert [row["text"] for row in rows] == ["one", "two", "one"]
