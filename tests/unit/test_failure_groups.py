"""Dead letters with one cause are counted together; filters say which are meant."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_dead_letter
from seqd.client.failures import FailureGroup, FailureGroups, place_in, shape_of
from seqd.errors import InvalidRequest
from seqd.ledger.failures import cut_traceback
from seqd.ledger.job_filter import ANY_FAILURE, failure_filter
from seqd_schemas import MAX_TRACEBACK_BYTES, DeathCause, FailureRecord, FailureScope


def grouped(records: list[FailureRecord]) -> list[FailureGroup]:
    groups = FailureGroups()
    for record in records:
        groups.add(record)
    return groups.listed()


RAISED = "The model plugin raised KeyError: {} (seqd_topics.py, line 41, in words)"

LETTERS = st.lists(
    st.builds(
        a_dead_letter,
        at_ms=st.integers(1, 10**13),
        job_id=st.sampled_from(["j1", "j2", "j3"]),
        code=st.sampled_from(["plugin_error", "worker_crashed"]),
        cause=st.sampled_from([None, DeathCause.HANG]),
        items=st.integers(0, 1_000),
        scope=st.sampled_from(FailureScope),
        replayed_by=st.sampled_from([None, "j4"]),
        message=st.text(max_size=300) | st.sampled_from([RAISED.format("'a'"), "row 7 is empty"]),
    ),
    max_size=30,
)


@given(LETTERS, st.sampled_from(["failure", "code", "model", "worker", "cause", "job", "tenant"]))
def test_groups_have_every_dead_letter_once(letters, by):
    groups = FailureGroups(by)
    for letter in letters:
        groups.add(letter)

    listed = groups.listed()
    assert sum(group.entries for group in listed) == len(letters) == groups.entries
    failed = [one.items for one in letters if one.scope is FailureScope.ITEMS]
    assert sum(group.items for group in listed) == sum(failed) == groups.items
    assert groups.jobs == len({one.job_id for one in letters})
    again = [one for one in letters if one.replayed_by is not None]
    assert sum(group.replayed for group in listed) == len(again)
    assert [group.items for group in listed] == sorted((g.items for g in listed), reverse=True)
    assert all(group.first_at_ms <= group.last_at_ms for group in listed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RAISED.format("'a'"), RAISED.format("'wörter 77'")),
        ("Row 7 of 1,200 is empty", "Row 12 of 9 is empty"),
        ("no file 1a2b3c4d5e6f", "no file 99aabbccddee0011"),
        ("at 0x7f1200 it broke", "at 0xdeadbeef it broke"),
        ("/data/a/reviews.csv: line 7 is cut", "/mnt/reviews-of-may.csv.gz: line 12 is cut"),
        ("cannot read s3://bucket/a.jsonl here", "cannot read s3://other/b/c.jsonl here"),
    ],
)
def test_messages_that_differ_in_values_alone_have_one_form(one, other):
    assert shape_of(one) == shape_of(other)


def test_messages_of_different_places_are_different_causes():
    here = a_dead_letter(message=RAISED.format("'a'"))
    there = a_dead_letter(message=RAISED.format("'a'").replace("41", "42"))

    assert len(grouped([here, there])) == 2
    assert place_in(here.message) == "seqd_topics.py, line 41, in words"
    assert place_in("It has no text.") == ""


def test_the_newest_of_a_group_is_its_example():
    letters = [a_dead_letter(id=f"{at}-0", at_ms=at, items=at) for at in (3, 5, 4)]

    (group,) = grouped(letters)

    assert (group.example_id, group.first_at_ms, group.last_at_ms) == ("5-0", 3, 5)


def test_what_dead_letters_cannot_be_grouped_by_is_refused():
    with pytest.raises(InvalidRequest, match=r"by is 'colour'; allowed: failure, code, model, "):
        FailureGroups("colour")


def test_a_filter_selects_what_has_all_that_is_asked_for():
    letter = a_dead_letter(tenant="shop", worker="w1", cause="hang")

    for given_filters in (
        {"model": "topics"},
        {"model": "topics@3", "task": "classify", "tenant": "shop", "code": "plugin_error"},
        {"cause": "hang", "worker": "w1", "job": "j1", "ids": ["1000-0"]},
        {"since": datetime.fromtimestamp(1, UTC), "until": datetime.fromtimestamp(1.001, UTC)},
    ):
        assert failure_filter(given_filters).matches(letter)
    for other in (
        {"model": "topics@4"},
        {"model": "topics", "tenant": "other"},
        {"cause": "signal"},
        {"ids": ["1000-1"]},
        {"since": datetime.fromtimestamp(1.001, UTC)},
        {"until": datetime.fromtimestamp(1, UTC)},
    ):
        assert not failure_filter(other).matches(letter)
    assert ANY_FAILURE.matches(letter)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"code": "No"}, r"code is 'No'; allowed: an error code, as plugin_error\."),
        ({"since": "2h"}, r"since is '2h'; allowed: a datetime, such as "),
        ({"ids": "1-1"}, r"ids is '1-1'; allowed: a list of ids of dead letters\."),
        ({"tenant": ""}, r"tenant is ''; allowed: a name\."),
    ],
)
def test_a_wrong_filter_is_refused(filters, message):
    with pytest.raises(InvalidRequest, match=message):
        failure_filter(filters)


@given(st.text(max_size=6_000))
def test_a_traceback_is_cut_to_what_is_kept(text):
    cut = cut_traceback(text)

    assert len(cut.encode()) <= MAX_TRACEBACK_BYTES
    assert cut[-100:] == text.encode(errors="replace").decode()[-100:]
