"""Many jobs from one list: which identifiers they get, and what is said of those refused."""

import pytest

from builders import some_items
from seqd.client.requests import inputs_of, refusal_of, refuse_options_of_one
from seqd.errors import InvalidRequest, QuotaExceeded
from seqd.ledger.submissions import Accepted


def test_each_item_is_the_whole_input_of_a_job_with_an_identifier_of_its_own():
    items = some_items(3)

    inputs = list(inputs_of(items, None))

    assert [chunk.items for _, chunk in inputs] == [(item,) for item in items]
    assert len({job_id for job_id, _ in inputs}) == 3


def test_identifiers_that_are_given_are_kept_in_order():
    inputs = inputs_of(iter(some_items(2)), iter(["b", "a"]))

    assert [job_id for job_id, _ in inputs] == ["b", "a"]


@pytest.mark.parametrize(
    ("items", "job_ids", "message"),
    [
        (2, ["a"], "There are more items than job_ids; one each is due."),
        (1, ["a", "b"], "There are more job_ids than items; one each is due."),
        (
            1,
            ["a b"],
            "The job's identifier is 'a b'; allowed: 1 to 64 letters, digits, `_` and `-`, the "
            "first a letter or digit.",
        ),
    ],
)
def test_identifiers_that_cannot_be_used_are_refused_before_anything_is_sent(
    items, job_ids, message
):
    with pytest.raises(InvalidRequest) as refusal:
        list(inputs_of(some_items(items), job_ids))

    assert str(refusal.value) == message


@pytest.mark.parametrize("name", ["job_id", "idempotency_key"])
def test_an_option_that_would_make_one_job_of_all_is_refused(name):
    with pytest.raises(InvalidRequest) as refusal:
        refuse_options_of_one({name: "mine"})

    assert str(refusal.value) == (
        f"{name} is 'mine', for many jobs; allowed: none. Give each job an identifier of its own "
        "with `job_ids`: sent again, it makes no second job."
    )


def test_a_refusal_says_which_jobs_and_why_and_which_were_accepted():
    inputs = list(inputs_of(some_items(3), ["a", "b", "c"]))
    full = QuotaExceeded("Tenant 'default' has too much.", 5.0)

    refusal = refusal_of(inputs, [Accepted("a", created=True), full, full])

    assert refusal is not None
    assert (refusal.accepted, refusal.refused) == (["a"], {"b": full, "c": full})
    assert refusal.retry_after_s == 5.0
    assert str(refusal) == (
        "2 of 3 jobs were refused, the first because: Tenant 'default' has too much. The others "
        "were accepted: see `accepted` and `refused`, and send the refused ones again."
    )


def test_where_all_jobs_were_accepted_there_is_no_refusal():
    inputs = list(inputs_of(some_items(1), ["a"]))

    assert refusal_of(inputs, [Accepted("a", created=False)]) is None
