"""Lists of jobs by what they have in common."""

import re
from datetime import datetime

import pytest

from builders import a_classify_job, a_generate_job
from ledger_fixtures import Environment
from seqd.errors import InvalidRequest
from seqd.ledger.job_filter import (
    ANY_JOB,
    MAX_SEARCHED,
    JobFilter,
    JobFilters,
    job_filter,
    job_place,
)
from seqd.ledger.jobs import MAX_TEMPLATES
from seqd_schemas import JobState

pytestmark = pytest.mark.processes


def listed(environment: Environment, filters: JobFilters, limit: int = 20) -> list[str]:
    found = environment.ledger.jobs.newest(limit, job_filter(filters))
    return [record.job_id for record in found]


@pytest.fixture
def three(environment: Environment) -> Environment:
    """Three jobs, `first` (a small one that has completed), `second` (running) and `third`."""
    notes = {"batch": "a", "by": "me"}
    first = a_classify_job(tenant="shop", metadata=notes)
    environment.submit_units(1, first, job_id="first")
    environment.commit(environment.claim_unit())
    environment.submit_units(2, a_classify_job(metadata={"batch": "b"}), job_id="second")
    environment.claim_unit()
    environment.submit_units(1, a_generate_job(), job_id="third", version=2)
    # A millisecond each: Redis lists those of the same one by name.
    for at, name in enumerate(("first", "second", "third"), start=1_000):
        for key in (environment.keys.jobs(), environment.keys.open_jobs()):
            environment.redis.zadd(key, {name: at}, xx=True)
    return environment


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["third", "second", "first"]),
        ({"states": ["queued", JobState.COMPLETED]}, ["third", "first"]),
        ({"states": ["queued", "running"]}, ["third", "second"]),
        ({"states": ["failed"]}, []),
        ({"kind": "classify"}, ["second", "first"]),
        ({"model": "imdb_lstm"}, ["second", "first"]),
        ({"model": "markov@2"}, ["third"]),
        ({"model": "markov@3"}, []),
        ({"tenant": "shop"}, ["first"]),
        ({"metadata": {"batch": "a"}}, ["first"]),
        ({"metadata": {"batch": "a", "by": "you"}}, []),
        ({"id_begins": "fi"}, ["first"]),
        ({"id_begins": "s", "states": ["queued"]}, []),
        ({"since": datetime.fromtimestamp(1.001)}, ["third", "second"]),
        ({"since": datetime.fromtimestamp(1.001), "kind": "classify"}, ["second"]),
    ],
    ids=str,
)
def test_a_list_has_the_jobs_that_match_all_of_its_filters(
    three: Environment, filters: JobFilters, expected: list[str]
) -> None:
    assert listed(three, filters) == expected


def test_a_list_has_no_more_jobs_than_were_asked_for(three: Environment) -> None:
    found = three.ledger.jobs.newest(1, job_filter({"kind": "classify"}))

    assert [record.job_id for record in found] == ["second"]
    assert found.stopped_at_ms is None


@pytest.mark.parametrize("wanted", [ANY_JOB, job_filter({"kind": "classify"})], ids=str)
def test_pages_have_each_job_once_whatever_goes_or_comes_between_them(
    environment: Environment, wanted: JobFilter
) -> None:
    names = [f"job-{number}" for number in range(7)]
    for name in names:
        environment.submit_units(1, a_classify_job(), job_id=name)
    accepted_ms = dict.fromkeys(names[:5], 1_000) | dict.fromkeys(names[5:], 2_000)
    environment.redis.zadd(environment.keys.jobs(), accepted_ms)

    page = environment.ledger.jobs.newest(3, wanted)
    pages = [[record.job_id for record in page]]
    while page.older is not None:
        environment.submit_units(1, a_classify_job(), job_id=f"later-{len(pages)}")
        environment.redis.zrem(environment.keys.jobs(), page[-1].job_id)
        page = environment.ledger.jobs.newest(3, wanted, job_place(page.older))
        pages.append([record.job_id for record in page])

    assert pages == [["job-6", "job-5", "job-4"], ["job-3", "job-2", "job-1"], ["job-0"]]


def test_a_list_has_all_small_jobs_of_however_many_requests(environment: Environment) -> None:
    for number in range(MAX_TEMPLATES + 44):
        job = a_classify_job(metadata={"number": str(number)})
        environment.submit_units(1, job, job_id=f"{number:03d}")
        environment.commit(environment.claim_unit())
    newest = listed(environment, {}, limit=200)

    every = listed(environment, {}, limit=400)

    assert len(newest) == 200
    assert len(every) == MAX_TEMPLATES + 44


def test_a_search_that_has_looked_at_too_many_others_says_where_it_stopped(
    three: Environment,
) -> None:
    gone = {f"gone-{number}": 2_000_000 + number for number in range(MAX_SEARCHED + 500)}
    three.redis.zadd(three.keys.jobs(), gone)

    found = three.ledger.jobs.newest(20, job_filter({"kind": "classify"}))
    of_open_jobs = three.ledger.jobs.newest(20, job_filter({"states": ["running"]}))

    assert found == []
    assert found.stopped_at_ms == 2_000_000 + 479
    assert found.older == "2000479-gone-479"
    assert [record.job_id for record in of_open_jobs] == ["second"]
    assert of_open_jobs.stopped_at_ms is None


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"states": ["done"]}, "A state is 'done'; allowed: queued, running, paused, completed, "),
        ({"kind": "predict"}, "kind is 'predict'; allowed: classify, generate, run, train, sweep."),
        ({"model": "echo@best"}, "model is 'echo@best'; allowed: NAME, or NAME@3 (a version)."),
        ({"id_begins": "a b"}, "id_begins is 'a b'; allowed: the beginning of a job's id."),
        (
            {"colour": "red"},
            "There is no filter 'colour'. Known filters: id_begins, kind, metadata, ",
        ),
    ],
    ids=str,
)
def test_a_filter_that_nothing_can_match_is_refused(filters: JobFilters, message: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        job_filter(filters)
