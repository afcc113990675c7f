"""`Client` and `AsyncClient` have the same methods with the same parameters."""

import inspect
from collections.abc import AsyncIterator, Iterator

import pytest

from seqd.client import (
    AsyncClient,
    AsyncEndedJob,
    AsyncJobHandle,
    AsyncModelHandle,
    Client,
    EndedJob,
    JobHandle,
    ModelHandle,
)
from seqd.ledger.async_transport import AsyncStream
from seqd.ledger.transport import Stream

FACES = [
    (Client, AsyncClient),
    (JobHandle, AsyncJobHandle),
    (EndedJob, AsyncEndedJob),
    (ModelHandle, AsyncModelHandle),
]

#: What asyncio calls otherwise.
RENAMED = {(Client, "close"): "aclose"}


def methods_of(face: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(face, callable)
        if not name.startswith("_")
    }


def parameters_of(signature: inspect.Signature) -> list[tuple[str, object, object]]:
    return [(one.name, one.kind, one.default) for one in signature.parameters.values()]


@pytest.mark.parametrize(("blocking", "asynchronous"), FACES)
def test_both_faces_have_the_same_methods(blocking: type, asynchronous: type):
    expected = {RENAMED.get((blocking, name), name) for name in methods_of(blocking)}

    assert set(methods_of(asynchronous)) == expected


@pytest.mark.parametrize(("blocking", "asynchronous"), FACES)
def test_both_faces_take_the_same_parameters(blocking: type, asynchronous: type):
    ours, theirs = methods_of(blocking), methods_of(asynchronous)

    for name, signature in ours.items():
        other = theirs[RENAMED.get((blocking, name), name)]
        assert parameters_of(other) == parameters_of(signature), f"{asynchronous}.{name}"


#: What asks Redis for nothing; `to_arrow` gives a reader, or an asynchronous iterator of batches.
SAME_ON_BOTH = [(Client, "job"), (JobHandle, "to_arrow")]


@pytest.mark.parametrize(("blocking", "asynchronous"), FACES)
def test_what_blocks_is_a_coroutine_and_an_iterator_an_asynchronous_one(
    blocking: type, asynchronous: type
):
    for name, signature in methods_of(blocking).items():
        twin = getattr(asynchronous, RENAMED.get((blocking, name), name))
        returned = str(signature.return_annotation).strip("'\"")
        if returned.startswith(("Stream[", "seqd.ledger.transport.Stream", "Iterator", "collect")):
            there = str(inspect.signature(twin).return_annotation)
            assert "AsyncStream[" in there, f"{asynchronous}.{name} returns {there}"
        elif (blocking, name) not in SAME_ON_BOTH:
            assert inspect.iscoroutinefunction(twin), f"{asynchronous}.{name} is no coroutine"


def test_both_kinds_of_iterator_can_be_closed_and_used_in_a_with_block():
    assert issubclass(Stream, Iterator) and issubclass(AsyncStream, AsyncIterator)
    assert callable(Stream.close) and hasattr(Stream, "__exit__")
    assert inspect.iscoroutinefunction(AsyncStream.aclose) and hasattr(AsyncStream, "__aexit__")
