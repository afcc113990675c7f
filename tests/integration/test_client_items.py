"""Jobs of items from a Python program, run by a real worker: order, faults, lazy upload.

Both faces send by the same exchanges; they are asked side by side where the input differs.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from random import Random

import pytest

from async_builders import face_of, faces
from plugin_builders import place
from seqd.client import Client, JobHandle
from seqd.errors import (
    DuplicateCustomId,
    InvalidParameters,
    InvalidRequest,
)
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import PLUGIN, Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.smoke]


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def labels_of(job: JobHandle[object]) -> list[str]:
    """Return each item's label, or its error's code."""
    return [
        result.output.label  # type: ignore[attr-defined] # echo classifies
        if isinstance(result, ItemSuccess)
        else result.error.code.value
        for result in job.results()
    ]


def given(face: str, values: list[object]) -> Iterator[object] | AsyncIterator[object]:
    """Return the values as the face's own kind of generator."""

    async def asynchronous() -> AsyncIterator[object]:
        for value in values:
            yield value

    return iter(values) if face == "blocking" else asynchronous()


@faces
def test_items_of_an_asynchronous_iterable_are_read_lazily(cluster: Cluster, face: str) -> None:
    texts = [f"text {number}" for number in range(400)]

    with face_of(cluster, face) as asked:
        items = given(face, [*texts])
        job = asked.do(lambda: asked.client.classify(items, model="echo"))  # type: ignore[arg-type]
        results = asked.all_of(job.results)
        record = asked.do(job.wait)

    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 401)]
    assert [result.output.label for result in results] == texts  # type: ignore[union-attr]
    assert record.state is JobState.COMPLETED


#: What is sent as an item, the label or the code of its error, and what the error says.
ITEMS: list[tuple[object, str, str]] = [
    ("a", "a", ""),
    ({"custom_id": "x", "text": "b"}, "b", ""),
    ({"id": 7, "text": "c"}, "c", ""),
    ("", "invalid_input", "text is empty"),
    (7, "invalid_input", "int"),
    (None, "invalid_input", "null"),
    ({"no": "text"}, "invalid_input", "text"),
    ("lone \ud800 surrogate", "decode_error", ""),
    ("bad", "invalid_input", "this text was made bad"),
    (
        "raise",
        "plugin_error",
        "The model plugin raised ValueError: this text was made to break the plugin "
        + place(PLUGIN / "seqd_light.py", 'raise ValueError("this text was', "_raises"),
    ),
    ("few", "plugin_error", "0 outcomes for 1 items"),
    ("d", "d", ""),
]


@faces
def test_an_item_that_cannot_be_used_becomes_an_error_in_its_place(
    cluster: Cluster, face: str
) -> None:
    with face_of(cluster, face) as asked:
        items = given(face, [value for value, _, _ in ITEMS])
        job = asked.do(lambda: asked.client.classify(items, model="echo"))  # type: ignore[arg-type]
        results = asked.all_of(job.results)
        record = asked.do(job.record)

    labels = [
        result.output.label  # type: ignore[union-attr] # echo classifies
        if isinstance(result, ItemSuccess)
        else result.error.code.value
        for result in results
    ]
    assert labels == [label for _, label, _ in ITEMS]
    assert [result.custom_id for result in results][:4] == ["row-1", "x", "7", "row-4"]
    messages = ["" if isinstance(one, ItemSuccess) else one.error.message for one in results]
    assert [
        (told, said) for told, (_, _, said) in zip(messages, ITEMS, strict=True) if said not in told
    ] == []
    assert (record.state, record.counts.succeeded, record.counts.errored) == ("completed", 4, 8)


def test_the_upload_is_never_far_ahead_of_the_workers(cluster: Cluster, cure) -> None:
    drawn = 0
    # Hardly compressible: a unit of eight takes about 1,000 bytes.
    texts = [Random(number).randbytes(100).hex() for number in range(399)]

    def draw() -> Iterator[str]:
        nonlocal drawn
        for text in ["held", *texts]:
            drawn += 1
            yield text

    job = cluster.client(max_pending_bytes=4_000).classify(draw(), model="echo")
    wait_until(lambda: drawn >= 24, "units that wait behind the one that is held")
    with pytest.raises(TimeoutError) as waited:
        job.wait(timeout_s=1)
    drawn_while_held = drawn
    cure.touch()
    answered = sum(result.ok for result in job.results())

    assert " after 1 s, with 0 of " in str(waited.value)
    assert (drawn, answered) == (400, 400)
    # Four units of 8 wait in Redis or are worked on, and one is about to be sent.
    assert drawn_while_held < 80


def twice(texts: int) -> list[dict[str, str]]:
    return [{"id": f"i{number % texts}", "text": "a"} for number in range(60)]


class ByPlace:
    """What is iterated over by the place of an item, as a data set of PyTorch is."""

    def __getitem__(self, place: int) -> str:
        return ["a", "b"][place]


def test_items_may_be_found_by_their_place_alone(client: Client) -> None:
    job = client.classify(ByPlace(), model="echo")  # type: ignore[arg-type] # has no __iter__

    assert labels_of(job) == ["a", "b"]


ONE_FOR_MANY = "The items are one {}; allowed: an iterable of texts or records. Put it into a list."
NONE_TO_ITERATE = "The items are {!r}; allowed: an iterable of texts or records."

REFUSED: list[tuple[str, dict[str, object], type[Exception], str]] = [
    ("classify", {"items": "A film."}, InvalidRequest, ONE_FOR_MANY.format("str")),
    ("classify", {"items": {"text": "A film."}}, InvalidRequest, ONE_FOR_MANY.format("dict")),
    ("classify", {"items": None}, InvalidRequest, NONE_TO_ITERATE.format(None)),
    ("classify_each", {"items": 3}, InvalidRequest, NONE_TO_ITERATE.format(3)),
    ("classify", {"items": []}, InvalidRequest, "There are no items; at least one is due."),
    (
        "classify_each",
        {"items": ["a", "b"], "job_ids": ["a"]},
        InvalidRequest,
        "There are more items than job_ids; one each is due.",
    ),
    (
        "classify_each",
        {"job_ids": ["a", "b"]},
        InvalidRequest,
        "There are more job_ids than items; one each is due.",
    ),
    (
        "classify_each",
        {"job_ids": ["a b"]},
        InvalidRequest,
        "The job's identifier is 'a b'; allowed: 1 to 64 letters, digits, `_` and `-`, the first a "
        "letter or digit.",
    ),
    *(
        (
            "classify_each",
            {name: "mine"},
            InvalidRequest,
            f"{name} is 'mine', for many jobs; allowed: none. Give each job an identifier of its "
            "own with `job_ids`: sent again, it makes no second job.",
        )
        for name in ("job_id", "idempotency_key")
    ),
    ("classify", {"items": twice(1)}, DuplicateCustomId, "the identifier 'i0' is used twice"),
    (
        "classify",
        {"parameters": {"delay_ms": -1}},
        InvalidParameters,
        "echo classify: parameter 'delay_ms' is -1",
    ),
]


@faces
def test_what_cannot_be_a_job_is_refused_in_words_before_anything_is_sent(
    cluster: Cluster, face: str
) -> None:
    before = cluster.keys_of_jobs()

    with face_of(cluster, face) as asked:
        for method, changes, error, message in REFUSED:
            options = {"model": "echo", "items": ["a"]} | changes
            call = partial(getattr(asked.client, method), options.pop("items"), **options)
            with pytest.raises(error) as refusal:
                asked.do(call)

            assert str(refusal.value).startswith(message)
    assert cluster.keys_of_jobs() <= before


def test_an_asynchronous_iterable_is_refused_by_a_client_that_blocks(client: Client) -> None:
    items = given("async", ["a"])

    with pytest.raises(InvalidRequest) as refusal:
        client.classify(items, model="echo")  # type: ignore[arg-type]

    assert str(refusal.value) == NONE_TO_ITERATE.format(items)


def test_an_identifier_that_is_used_twice_in_a_long_input_fails_the_job(client: Client) -> None:
    job = client.classify(twice(50), model="echo")

    with pytest.raises(DuplicateCustomId) as raised:
        job.wait(timeout_s=120)
    assert str(raised.value).startswith("the identifier 'i0' is used twice: by entry 1 and by entr")
    failure = client.job(job.job_id).record().failure
    assert failure is not None and failure.code == "duplicate_custom_id"
