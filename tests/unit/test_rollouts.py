"""Roll-outs without a worker: whose an item is, who takes part, and when a candidate is too bad."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_catalog_entry, a_classify_job
from seqd.admission import admit
from seqd.cli.models.promotion import parse_percent
from seqd.errors import InvalidRequest
from seqd.ledger.units import Death, Unit
from seqd.worker.promotion import percent
from seqd.worker.rollouts import is_left_to_serving, is_too_bad
from seqd_schemas import (
    CatalogEntry,
    DeathCause,
    JobRollout,
    Rollout,
    VersionCounts,
    VersionSummary,
)

NAMES = st.text(min_size=1, max_size=20)
VERSIONS = [VersionSummary(version=one, created_at_ms=1, metrics={}) for one in (1, 2, 3)]


def a_rollout(share: float = 0.5, seed: str | None = None) -> JobRollout:
    return JobRollout(id="0" * 16, kind="canary", version=2, share=share, seed=seed)


def a_catalog(**changes: object) -> dict[str, CatalogEntry]:
    """A model with versions 1 to 3, 1 in service and 2 a canary."""
    rollout = Rollout(id="0" * 16, kind="canary", version=2, serving=1, share=0.5, at_ms=1)
    fields = {
        "model": "topics",
        "versions": VERSIONS,
        "labels": {"production": 1, "latest": 3},
        "rollout": rollout,
    }
    return {"topics": a_catalog_entry(**(fields | changes))}


def a_unit(crashes: int, name: str = "0", *, is_silent: bool | None = None) -> Unit:
    death = (
        None
        if is_silent is None
        else Death(DeathCause.HANG if is_silent else DeathCause.SIGNAL, "it died")
    )
    return Unit("j1", name, 1, crashes, b"", started_job=False, death=death)


@pytest.mark.parametrize(
    ("ref", "changes", "takes_part"),
    [
        ("topics", {}, True),
        ("topics@production", {}, True),
        ("topics@1", {}, False),
        ("topics@2", {}, False),
        ("topics@latest", {}, False),
        # It is over beside another version in service, or where no worker has the candidate.
        ("topics", {"labels": {"production": 3, "latest": 3}}, False),
        ("topics", {"versions": VERSIONS[:1], "labels": {"production": 1, "latest": 1}}, False),
    ],
)
def test_a_job_takes_part_in_a_roll_out_of_the_version_in_service_unless_it_names_one(
    ref, changes, takes_part
):
    admitted = admit(a_classify_job(model=ref), a_catalog(**changes))

    assert admitted.rollout == (a_rollout() if takes_part else None)
    assert admitted.version == 1 or not takes_part


@given(names=st.lists(NAMES, unique=True), low=st.floats(0.001, 1), high=st.floats(0.001, 1))
def test_a_larger_share_takes_all_items_of_a_smaller_one(names, low, high):
    low, high = sorted((low, high))
    few = {name for name in names if a_rollout(low).takes("j1", name)}
    many = {name for name in names if a_rollout(high).takes("j1", name)}
    assert few <= many


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_the_share_of_many_items_is_the_one_asked_for(share):
    items = 20_000
    taken = sum(a_rollout(share).takes("j1", f"row-{number}") for number in range(items))
    # Five standard deviations of a binomial distribution.
    assert abs(taken - share * items) <= 5 * math.sqrt(items * share * (1 - share))


def test_two_jobs_have_different_items_in_the_share_and_a_retry_those_of_the_first():
    names = [f"row-{number}" for number in range(1_000)]

    def taken(job_id: str, seed: str | None = None) -> set[str]:
        return {name for name in names if a_rollout(seed=seed).takes(job_id, name)}

    assert 150 < len(taken("j1") & taken("j2")) < 350
    assert taken("j2", seed="j1") == taken("j1")


def test_the_choice_is_the_one_that_the_wire_format_states():
    """Other languages compute it, so it is the same for ever.

    These are those that `printf j1/row-N | b2sum -l 64` puts below 0.3 of 2^64.
    """
    taken = [number for number in range(20) if a_rollout(0.3).takes("j1", f"row-{number}")]
    assert taken == [0, 1, 2, 15, 16, 17, 18]


@pytest.mark.parametrize(
    ("errors", "items", "bound", "expected"),
    [
        (0, 0, 0.0, False),
        (0, 1_000, 0.0, False),
        (2, 2, 0.01, False),  # too few to tell
        (3, 3, 0.01, True),  # 21.7% at least
        (3, 40, 0.01, True),  # 1.3% at least
        (3, 60, 0.01, False),  # 0.9% at least
        (20, 1_000, 0.01, False),  # 0.98% at least
        (22, 1_000, 0.01, True),  # 1.1% at least
        (3, 1_000_000, 0.0, True),
        (500, 1_000, 1.0, False),
    ],
)
def test_a_candidate_is_too_bad_where_its_error_rate_is_surely_above_the_bound(
    errors, items, bound, expected
):
    assert is_too_bad(VersionCounts(version=2, items=items, errors=errors), bound) is expected


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (a_unit(0), False),
        (a_unit(1), False),
        (a_unit(2), True),
        (a_unit(1, is_silent=False), False),
        (a_unit(1, is_silent=True), True),
        (a_unit(0, "0:0:4"), False),
        (a_unit(1, "0:0:4"), True),
    ],
)
def test_a_unit_that_kills_its_workers_is_left_to_the_version_in_service(unit, expected):
    assert is_left_to_serving(unit) is expected


@pytest.mark.parametrize(
    ("text", "share", "shown"),
    [
        ("5%", 0.05, "5%"),
        ("5", 0.05, "5%"),
        (" 0.5% ", 0.005, "0.5%"),
        ("33.3333%", 0.333333, "33.3333%"),
        ("100%", 1.0, "100%"),
        ("0", 0.0, "0%"),
        ("1e1%", 0.1, "10%"),
    ],
)
def test_a_percentage_is_read_with_or_without_its_sign_and_shown_with_its_digits(
    text, share, shown
):
    assert parse_percent("--share", text) == pytest.approx(share)
    assert percent(share) == shown


@pytest.mark.parametrize("text", ["", "%", "five", "-1%", "100.1%", "nan", "inf%", "5%%"])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(InvalidRequest) as raised:
        parse_percent("--share", text)
    assert str(raised.value) == (
        f"--share is {text!r}; allowed: a percentage from 0 to 100, such as 5% or 0.5%"
    )
