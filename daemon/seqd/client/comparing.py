"""Two versions of models on the same labelled items: what a comparison asks, and what it keeps.

`compared` is a comparison in memory, for whoever has the records in hand. The command
`seqd models compare`, which reads a file of any length twice, shares the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from seqd.admission import find_model, resolve_version
from seqd.analysis.classification import ClassPair, prediction_of
from seqd.analysis.comparison import ChangedItem, Comparison, VersionFacts
from seqd.client.requests import JobOptions, items_job
from seqd.client.sending import Sender
from seqd.client.sources import Record, entries_by
from seqd.errors import InvalidData, InvalidRequest
from seqd.inputs.items import ItemRules, items_of
from seqd.kinds import CLASSIFY
from seqd.ledger.exchange import Exchange, Taken
from seqd.validation import listed, shown
from seqd_schemas import Item, JobRecord, ModelReference, ParameterValue

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry, RefusedItem

#: Characters of a changed item's text that are kept.
TEXT_CHARS: Final = 200

#: Changed items that a comparison holds itself.
HELD_CHANGES: Final = 8

#: Seconds below which a job's rate says nothing.
_RATE_FROM_S: Final = 0.2


class Labelled(NamedTuple):
    """An item, and its true label."""

    item: "Item | RefusedItem"
    label: str | None


def labelled(
    data: Iterable[Record], text_field: str, label_field: str, label_map: Mapping[str, str]
) -> list[Labelled]:
    """Return records as items with labels. Raises InvalidData where none of them has a label."""
    records = list(data)
    items = items_of(records, text_field=text_field)
    found = [
        Labelled(item, _label_of(record, label_field, label_map))
        for item, record in zip(items, records, strict=True)
    ]
    if all(one.label is None for one in found):
        raise InvalidData(
            f"no record has a label in its field {label_field!r}, so nothing can be right or "
            "wrong. Name the field by label_field."
        )
    return found


def compared(
    sender: Sender,
    entry: "CatalogEntry",
    versions: tuple[str, str],
    records: Sequence[Labelled],
    parameters: Mapping[str, ParameterValue],
) -> Exchange[Comparison]:
    """Have two versions of a model classify records; return how the second does beside the first.

    Raises InvalidRequest, UnknownModel, and InvalidData where there is nothing to compare.
    """
    refs = pinned_versions({entry.model: entry}, *versions)
    asked = asking_for_probabilities(entry) | dict(parameters)
    pair, facts, changes = ClassPair(), list[VersionFacts](), list[ChangedItem]()
    for ref, answers in zip(refs, (pair.first, pair.second), strict=True):
        options: JobOptions = {"parameters": asked}
        job = items_job(CLASSIFY, records, ref, {"parameters": asked})
        items = entries_by(ItemRules(), [one.item for one in records])
        steps = (yield from sender.send(job, options, items)).steps
        try:
            results = Taken(steps.results())
            for item, label in records:
                result = yield from results.take()
                assert result is not None
                answers.add(label, prediction_of(result))
                if answers is pair.second and len(changes) < HELD_CHANGES:
                    text = item.text[:TEXT_CHARS] if isinstance(item, Item) else ""
                    changed = pair.changed_item(result.custom_id, text)
                    changes += [] if changed is None else [changed]
            rate = rate_of((yield from steps.wait()))
        except GeneratorExit:
            raise
        except BaseException as error:  # nobody else holds what is on its way
            yield from steps.give_up(error)
            raise
        facts.append(VersionFacts(ref=ref, items_per_s=rate, size_bytes=None))
    return _comparison(pair, facts, changes, {one.label for one in records} - {None})


def _comparison(
    pair: ClassPair,
    facts: Sequence[VersionFacts],
    changes: Sequence[ChangedItem],
    truths: set[str | None],
) -> Comparison:
    first, second = pair.first, pair.second
    classes = first.classes | second.classes
    if classes and not truths & classes:
        raise InvalidData(
            f"no label of the records is a class of either version, so none could be right. They "
            f"have {listed(sorted(map(str, truths))[:8])}; the versions gave "
            f"{listed(sorted(classes)[:8])}. Map them by label_map, or name another field by "
            "label_field."
        )
    try:
        metrics, answers = pair.compare()
    except ValueError:
        raise InvalidData(
            f"no record has both a label and two answers: {facts[0].ref} gave {first.errored:,} "
            f"errors and {facts[1].ref} {second.errored:,}, so there is nothing to compare."
        ) from None
    return Comparison(
        task=CLASSIFY,
        data="records",
        items=metrics["accuracy"].items,
        first=facts[0],
        second=facts[1],
        metrics=metrics,
        answers=answers,
        changes=tuple(changes),
    )


def pinned_versions(
    catalog: "Mapping[str, CatalogEntry]", first: str, second: str, *, own_task: bool = False
) -> tuple[str, str]:
    """Return both versions by number, so that no label moves meanwhile.

    Raises InvalidRequest for one version twice, and for one that does not classify, unless they
    are measured by a task of their plugin's own.
    """
    refs = []
    for given in (first, second):
        name, wanted = ModelReference.parse(given)
        entry = find_model(name, catalog)
        if not own_task and CLASSIFY not in entry.tasks:
            own = (
                f". Of its own tasks `seqd models evaluate {given}` gives each version's figures"
                if entry.run_tasks
                else ""
            )
            raise InvalidRequest(
                f"{given!r} does not classify (it can {' and '.join(sorted(entry.all_tasks))}). "
                "Allowed: two versions that classify; or two that write text, on a machine that "
                f"has their plugins and store{own}"
            )
        refs.append(f"{name}@{resolve_version(entry, wanted)}")
    refuse_same(refs[0], refs[1], first, second)
    return refs[0], refs[1]


def refuse_same(one: str, other: str, first: str, second: str) -> None:
    """Raise InvalidRequest where both references, as they were given, mean one version."""
    if one == other:
        raise InvalidRequest(
            f"{first!r} and {second!r} are both {one}; name two versions, such as "
            f"{one.partition('@')[0]}@1 and {one.partition('@')[0]}@2. `seqd models show "
            f"{one.partition('@')[0]}` lists them"
        )


def asking_for_probabilities(entry: "CatalogEntry | None") -> dict[str, ParameterValue]:
    """Return parameters that ask for all classes' probabilities, where the model has that."""
    task = entry.tasks.get(CLASSIFY) if entry else None
    properties = task.parameters.get("properties") if task else None
    has_probabilities = isinstance(properties, dict) and "probabilities" in properties
    return {"probabilities": True} if has_probabilities else {}


def rate_of(record: JobRecord) -> float | None:
    """Return a job's items a second; None where it was too short to tell."""
    if record.started_at_ms is None or record.ended_at_ms is None:
        return None
    seconds = (record.ended_at_ms - record.started_at_ms) / 1000
    return None if seconds < _RATE_FROM_S else record.counts.done / seconds


def _label_of(record: Record, field: str, label_map: Mapping[str, str]) -> str | None:
    label = record.get(field) if isinstance(record, Mapping) else None
    if label is None:
        return None
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise InvalidData(f"a label is {shown(label)}; allowed: a text, or a whole number.")
    return label_map.get(str(label), str(label))
