"""Inputs of a job that somebody else has closed: what is read of them is not taken for all."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from seqd.cli.sources import feed_of
from seqd.client.sources import AsyncEntries, Source, entries_by
from seqd.errors import InvalidInput
from seqd.inputs.items import ItemRules
from seqd.ledger.exchange import Next

RULES = ItemRules()

CLOSED = (
    "The generator of the items was closed after 2 of them, by somebody else: whether there are "
    "more is not known. Hand the job in again with all of its items."
)


def texts() -> Iterator[str]:
    yield from ("a", "b", "c")


async def async_texts() -> AsyncIterator[str]:
    for text in texts():
        yield text


async def chunk_of(source: Source) -> list[str]:
    """Drive the exchange by which a source gives its next chunk."""
    steps = source.next()
    (asked,) = [next(steps)]
    assert isinstance(asked, Next)
    chunks = asked.source
    chunk = await anext(chunks, None) if hasattr(chunks, "__anext__") else next(chunks, None)
    with pytest.raises(StopIteration) as end:
        steps.send(chunk)
    return [] if end.value.value is None else [item.custom_id for item in end.value.value.items]


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
def test_a_generator_that_somebody_closes_is_not_taken_for_its_end(is_async):
    async def use() -> None:
        if is_async:
            values = async_texts()
            source: Source = AsyncEntries(values, RULES)
        else:
            items = texts()
            source = entries_by(RULES, items)
        source.begin(2)
        assert await chunk_of(source) == ["row-1", "row-2"]
        if is_async:
            await values.aclose()
        else:
            items.close()
        await chunk_of(source)

    with pytest.raises(InvalidInput) as error:
        asyncio.run(use())
    assert str(error.value) == CLOSED


def test_a_generator_that_had_ended_before_is_an_empty_input():
    values = texts()
    assert len(list(values)) == 3
    source = entries_by(RULES, values)
    source.begin(2)

    assert asyncio.run(chunk_of(source)) == []


def test_an_identifier_that_comes_twice_since_its_file_was_written_to_is_told_as_that(tmp_path):
    path, line = tmp_path / "a.jsonl", '{{"custom_id": "c{}", "text": "a longer text"}}\n'
    path.write_text("".join(line.format(number) for number in range(20_000)))
    with feed_of(str(path), [], {}) as feed:
        source = entries_by(RULES, feed)
        source.begin(1_000)
        assert len(asyncio.run(chunk_of(source))) == 1_000
        with path.open("a") as file:
            file.write(line.format(0))

        with pytest.raises(InvalidInput, match="was changed while it was read: it had "):
            while asyncio.run(chunk_of(source)):
                pass
