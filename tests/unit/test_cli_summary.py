"""What is said when a job has ended, and of a retry: counts that agree, and what to do next."""

from collections import deque

import pytest

from builders import a_classify_job
from cli_builders import a_failure, a_record, a_success
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.summary import (
    BulkOutcome,
    ResultCounts,
    say_bulk_summary,
    say_headline,
    say_merged_summary,
    say_retry_summary,
    say_what_was_not_sent,
)
from seqd_schemas import Counts, ItemErrorCode, JobRollout, JobState

ONE_BAD = Counts(total=4, succeeded=3, errored=1)


def some_counts(*failures: ItemErrorCode) -> ResultCounts:
    """Three positive reviews and a negative one, and items without a result."""
    counts = ResultCounts()
    for label in ("positive", "negative", "positive", "positive"):
        counts.add(a_success(label=label))
    for code in failures:
        counts.add(a_failure(code=code, message="no luck."))
    return counts


def an_ended(**changes: object) -> BulkOutcome:
    times = {"started_at_ms": 1_000, "ended_at_ms": 3_000}
    return BulkOutcome(a_record(state=JobState.COMPLETED, counts=ONE_BAD, **times, **changes))


def test_a_job_says_how_fast_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    say_headline(Screen(), an_ended())

    assert capsys.readouterr().out == "3 classified by imdb_lstm@0 in 2.0 s, 2.0 a second\n"


def test_a_canary_has_both_versions_in_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    rollout = JobRollout(id="0" * 16, kind="canary", version=1, share=0.25)
    ended = an_ended(rollout=rollout)
    counts = some_counts()
    counts.add(a_success().model_copy(update={"version": 1}))
    counts.add(a_success().model_copy(update={"version": 0}))

    say_headline(Screen(), ended, counts)
    say_headline(Screen(), ended)

    of_results, of_the_job = capsys.readouterr().out.splitlines()
    assert of_results.startswith("3 classified by imdb_lstm@0 (5) and imdb_lstm@1 (1) in 2.0 s")
    assert of_the_job.startswith("3 classified by imdb_lstm@0 and its canary imdb_lstm@1 in 2.0 s")


@pytest.mark.parametrize(
    ("labels", "more"), [(10, ""), (11, " and 1 more label"), (5_488, " and 5,478 more labels")]
)
def test_of_many_labels_the_ten_most_frequent_are_named(
    capsys: pytest.CaptureFixture[str], labels: int, more: str
) -> None:
    counts = ResultCounts()
    rare = [f"rare-{number}" for number in range(labels - 10)]
    for label in [*rare, *(f"often-{number}" for number in [*range(10), *range(10)])]:
        counts.add(a_success(label=label))

    say_headline(Screen(), an_ended(), counts)

    shares = capsys.readouterr().out.replace("\n", " ").rstrip().partition("a second: ")[2]
    assert shares == ", ".join(f"2 often-{number}" for number in range(10)) + more


def test_a_job_that_was_paused_says_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    say_headline(Screen(), BulkOutcome(an_ended().record, was_paused=True))

    assert capsys.readouterr().out == "3 classified by imdb_lstm@0 in 2.0 s, its pauses included\n"


def test_a_job_with_its_retries_says_what_both_came_to(capsys: pytest.CaptureFixture[str]) -> None:
    first = an_ended(continued_by="j2").record

    say_merged_summary(Screen(), first, a_record(job_id="j2"), some_counts(), None)

    assert capsys.readouterr().out == (
        "4 classified by imdb_lstm@0 (with its retries): 1 negative, 3 positive\n"
    )


def test_what_a_job_and_its_retries_left_undone_is_retried_from_the_last_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = an_ended(continued_by="j2").record
    counts = some_counts(*[ItemErrorCode.WORKER_CRASHED] * 4)

    say_merged_summary(Screen(), first, a_record(job_id="j2"), counts, None)

    assert capsys.readouterr().out.splitlines()[-2:] == [
        "All of them: seqd jobs results j1 --merged --out results.jsonl",
        "Once more: seqd jobs retry j2",
    ]


def test_items_with_errors_are_told_with_the_job_to_retry(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = some_counts(ItemErrorCode.INVALID_INPUT, ItemErrorCode.PLUGIN_ERROR)

    say_bulk_summary(Screen(), an_ended(), counts, None)

    assert capsys.readouterr().out.splitlines()[1:] == [
        "2 of 6 items have no result:",
        "  b  invalid_input: no luck.",
        "  b  plugin_error: no luck.",
        "Once more: seqd jobs retry j1",
    ]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (an_ended(), ItemErrorCode.INVALID_INPUT),
        (an_ended(), ItemErrorCode.DECODE_ERROR),
        (an_ended(sealed=False), ItemErrorCode.CANCELLED),
        (an_ended(continued_by="j2"), ItemErrorCode.PLUGIN_ERROR),
    ],
    ids=["no word in it", "no text", "half an input", "retried already"],
)
def test_no_retry_is_offered_that_would_help_nobody(
    capsys: pytest.CaptureFixture[str], outcome: BulkOutcome, code: ItemErrorCode
) -> None:
    say_bulk_summary(Screen(), outcome, some_counts(code), None)

    assert "retry" not in capsys.readouterr().out


def test_a_job_whose_time_ran_out_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts(total=25_000, succeeded=8_700, errored=4, expired=16_296)
    job = a_classify_job(expires_in_s=90)
    record = a_record(state=JobState.EXPIRED, counts=counts, job=job)

    say_bulk_summary(Screen(), BulkOutcome(record), some_counts(ItemErrorCode.EXPIRED), None)

    assert capsys.readouterr().out.splitlines()[-1] == (
        "Job j1 expired after 90 s with 8,704 of 25,000 items done. The rest: seqd jobs retry j1"
    )


def test_a_retry_says_how_many_of_its_items_have_a_result_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    retry = a_record(job_id="j2", counts=Counts(total=1, succeeded=1))

    say_retry_summary(Screen(), retry, an_ended().record, some_counts(), None)

    assert capsys.readouterr().out == "1 of 1 retried item has a result now.\n"


@pytest.mark.parametrize(
    ("retried", "said"),
    [
        (3, ""),
        (2, "1 failed item was not sent again: it has no text that could be read.\n"),
        (1, "2 failed items were not sent again: they have no text that could be read.\n"),
    ],
)
def test_items_that_a_retry_cannot_send_again_are_counted(
    capsys: pytest.CaptureFixture[str], retried: int, said: str
) -> None:
    ended = a_record(counts=Counts(total=5, succeeded=2, errored=3))
    retry = a_record(job_id="j2", counts=Counts(total=retried, processing=retried))

    say_what_was_not_sent(Screen(), ended, retry)

    assert capsys.readouterr().out == said


def test_of_a_retry_that_is_still_being_sent_nothing_is_said_to_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = a_record(counts=Counts(total=5, succeeded=2, errored=3))
    retry = a_record(job_id="j2", counts=Counts(total=1, processing=1), sealed=False)

    say_what_was_not_sent(Screen(), ended, retry)

    assert capsys.readouterr().out == ""


def test_where_no_label_is_one_of_the_inputs_the_options_that_call_them_so_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = ResultCounts(deque(["pos", "neg"]))
    for label in ("positive", "negative"):
        counts.add(a_success(label=label))

    say_bulk_summary(Screen(), an_ended(), counts, None)

    said = " ".join(capsys.readouterr().out.split())
    assert said.endswith(
        "No accuracy: the input's labels are neg, pos; the model gave negative, positive. To call "
        "them so: --map-label negative=neg --map-label positive=pos"
    )


@pytest.mark.parametrize(
    ("marks", "sentence"),
    [
        ([True, False, True], "Uncertain, with a score below 0.8: 2 of 3 results"),
        ([False], "Uncertain, with a score below 0.8: 0 of 1 result"),
    ],
    ids=["some", "none"],
)
def test_results_with_a_low_score_are_counted_where_the_job_has_a_least_one(
    capsys: pytest.CaptureFixture[str], marks: list[bool], sentence: str
) -> None:
    counts = ResultCounts()
    for is_uncertain in marks:
        counts.add(a_success(label="positive", uncertain=is_uncertain))

    job = a_classify_job(schema_version=2, min_score=0.8)
    say_bulk_summary(Screen(), an_ended(job=job), counts, None)

    assert capsys.readouterr().out.splitlines()[1] == sentence


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ((), []),
        (("1.0",), []),
        (("1.0", "1.1"), ["Several versions of the plugin computed it: 1.0, 1.1"]),
    ],
    ids=["none", "one", "several"],
)
def test_several_versions_of_the_plugin_are_said(
    capsys: pytest.CaptureFixture[str], versions: tuple[str, ...], said: list[str]
) -> None:
    say_bulk_summary(Screen(), an_ended(plugin_versions=versions), ResultCounts(), None)

    assert capsys.readouterr().out.splitlines()[1:] == said
