"""Two versions of models on the same labelled items: what a comparison asks, and what it keeps.

`PairedRun` is a comparison in memory, for whoever has the records in hand. The command
`seqd models compare`, which reads a file of any length twice, shares the rest.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from seqd.admission import find_model, resolve_version
from seqd.analysis.classification import ClassPair, prediction_of
from seqd.analysis.comparison import ChangedItem, Comparison, VersionFacts
from seqd.client.sources import Record
from seqd.errors import InvalidData, InvalidRequest
from seqd.inputs.items import items_of
from seqd.kinds import CLASSIFY
from seqd.validation import listed, shown
from seqd_schemas import Item, JobRecord, ModelReference, ParameterValue

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry, ItemFailure, ItemSuccess, RefusedItem

#: Characters of a changed item's text that are kept.
TEXT_CHARS: Final = 200

#: Changed items that a comparison holds itself.
HELD_CHANGES: Final = 8

#: Seconds below which a job's rate says nothing.
_RATE_FROM_S: Final = 0.2


class PairedRun:
    """Records, and the answers of two versions to them."""

    def __init__(
        self,
        entry: "CatalogEntry",
        versions: tuple[int | str, int | str],
        data: Iterable[Record],
        text_field: str,
        label_field: str,
        label_map: Mapping[str, str] | None,
    ) -> None:
        """Raises InvalidRequest, UnknownModel, and InvalidData where no record has a label."""
        references = [f"{entry.model}@{version}" for version in versions]
        #: Both versions by their numbers.
        self.refs = pinned_versions({entry.model: entry}, *references)
        records = list(data)
        #: What both classify.
        self.items: list[Item | RefusedItem] = list(items_of(records, text_field=text_field))
        #: Parameters by which they tell the probabilities of all classes.
        self.parameters = asking_for_probabilities(entry)
        self._truths = [_label_of(record, label_field, label_map or {}) for record in records]
        if not any(truth is not None for truth in self._truths):
            raise InvalidData(
                f"no record has a label in its field {label_field!r}, so nothing can be right or "
                "wrong. Name the field by label_field."
            )
        self._pair = ClassPair()
        self._rates: list[float | None] = [None, None]
        self._changes: list[ChangedItem] = []

    def add(self, number: int, result: "ItemSuccess | ItemFailure") -> None:
        """Keep the next answer of the first (0) or the second version (1), in order."""
        answers = self._pair.second if number else self._pair.first
        index = answers.items
        answers.add(self._truths[index], prediction_of(result))
        if number == 1 and len(self._changes) < HELD_CHANGES:
            entry = self.items[index]
            text = entry.text[:TEXT_CHARS] if isinstance(entry, Item) else ""
            changed = self._pair.changed_item(result.custom_id, text)
            self._changes += [] if changed is None else [changed]

    def ended(self, number: int, record: JobRecord) -> None:
        """Keep the rate of a version's job."""
        self._rates[number] = rate_of(record)

    def comparison(self) -> Comparison:
        """Return the comparison. Raises InvalidData where there is nothing to compare."""
        first, second = self._pair.first, self._pair.second
        self._refuse_labels(first.classes | second.classes)
        try:
            metrics, answers = self._pair.compare()
        except ValueError:
            raise InvalidData(
                f"no record has both a label and two answers: {self.refs[0]} gave "
                f"{first.errored:,} errors and {self.refs[1]} {second.errored:,}, so there is "
                "nothing to compare."
            ) from None
        facts = [
            VersionFacts(ref=ref, items_per_s=rate, size_bytes=None)
            for ref, rate in zip(self.refs, self._rates, strict=True)
        ]
        return Comparison(
            task=CLASSIFY,
            data="records",
            items=metrics["accuracy"].items,
            first=facts[0],
            second=facts[1],
            metrics=metrics,
            answers=answers,
            changes=tuple(self._changes),
        )

    def _refuse_labels(self, classes: set[str]) -> None:
        truths = {truth for truth in self._truths if truth is not None}
        if truths & classes or not classes:
            return
        raise InvalidData(
            f"no label of the records is a class of either version, so none could be right. They "
            f"have {listed(sorted(truths)[:8])}; the versions gave {listed(sorted(classes)[:8])}. "
            "Map them by label_map, or name another field by label_field."
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
