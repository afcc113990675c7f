"""Groups dead letters that have one cause, so that a thousand of them read as three."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from seqd.errors import InvalidRequest
from seqd.validation import shown
from seqd_schemas import FailureRecord, FailureScope, ModelReference

#: What dead letters are grouped by: their cause as far as it can be told, or one field alone.
GroupBy = Literal["failure", "code", "model", "worker", "cause", "job", "tenant"]

#: Characters that the form of a message has.
MAX_SHAPE_CHARS: Final = 200

#: The place in a plugin, as messages end with it.
_PLACE = re.compile(r"\(([^()]{1,300}, line [0-9]+, in [^()]{1,150}(?:\(\))?)\)\.?\s*$")
#: What differs between messages of one cause: quoted text, paths, identifiers in hex, and numbers.
_QUOTED = re.compile(r"'[^'\n]{0,500}'|\"[^\"\n]{0,500}\"")
_PATH = re.compile(r"[^\s/]*/\S*")
_HEX = re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{8,})\b", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9][0-9,.]*")


@dataclass(slots=True)
class FailureGroup:
    """Dead letters with one cause."""

    #: What they have in common, in words.
    name: str
    code: str
    #: `NAME@VERSION`, of the newest of them.
    model: str
    task: str
    cause: str | None
    #: Where in the plugin it was raised, '' where that is not known.
    place: str
    #: The newest of their messages.
    message: str
    entries: int = 0
    #: Items that have failed; of a job that failed as a whole none.
    items: int = 0
    first_at_ms: int = 0
    last_at_ms: int = 0
    #: The newest of them, which `seqd failures show` tells all about.
    example_id: str = ""
    #: How many of them another job tries again.
    replayed: int = 0
    jobs: int = 0
    _jobs: set[str] = field(default_factory=set, repr=False)

    def add(self, record: FailureRecord) -> None:
        """Count a dead letter."""
        if record.at_ms >= self.last_at_ms:
            self.last_at_ms, self.example_id = record.at_ms, record.id
        self.first_at_ms = min(self.first_at_ms or record.at_ms, record.at_ms)
        self.entries += 1
        if record.scope is FailureScope.ITEMS:  # else nobody has tried them
            self.items += record.items
        self.replayed += record.replayed_by is not None
        self._jobs.add(record.job_id)
        self.jobs = len(self._jobs)

    def as_json(self) -> dict[str, object]:
        """Return its fields for programs."""
        names = [name for name in self.__slots__ if not name.startswith("_")]
        return {name: getattr(self, name) for name in names}


class FailureGroups:
    """Groups of dead letters, to which they are added one after the other."""

    def __init__(self, by: str = "failure") -> None:
        """Raise InvalidRequest for what dead letters cannot be grouped by."""
        if by not in get_args(GroupBy):
            allowed = ", ".join(get_args(GroupBy))
            raise InvalidRequest(f"by is {shown(by)}; allowed: {allowed}.")
        self._key = _KEYS[by]
        self._groups: dict[tuple[object, ...], FailureGroup] = {}
        self._jobs: set[str] = set()

    def add(self, record: FailureRecord) -> None:
        """Count a dead letter."""
        key = self._key(record)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _empty_group(record, key)
        group.add(record)
        self._jobs.add(record.job_id)

    @property
    def entries(self) -> int:
        """The number of dead letters."""
        return sum(group.entries for group in self._groups.values())

    @property
    def items(self) -> int:
        """The number of items that have failed; those of a job that failed as a whole have not."""
        return sum(group.items for group in self._groups.values())

    @property
    def jobs(self) -> int:
        """The number of jobs that they are of."""
        return len(self._jobs)

    def listed(self) -> list[FailureGroup]:
        """Return the groups, that with the most items first."""
        return sorted(self._groups.values(), key=lambda group: (-group.items, -group.last_at_ms))


def grouped(records: Iterable[FailureRecord], by: str = "failure") -> list[FailureGroup]:
    """Return the groups of dead letters, that with the most items first. Raises InvalidRequest."""
    groups = FailureGroups(by)
    for record in records:
        groups.add(record)
    return groups.listed()


def place_in(message: str) -> str:
    """Return where in a plugin it was raised, by the end of a message; '' where it does not say."""
    found = _PLACE.search(message[-500:])
    return found[1] if found else ""


def shape_of(message: str) -> str:
    """Return a message without what differs from item to item: quotes, paths, ids and numbers."""
    text = message[: 5 * MAX_SHAPE_CHARS]
    for pattern, instead in ((_QUOTED, "'…'"), (_PATH, "…"), (_HEX, "…"), (_NUMBER, "…")):
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:MAX_SHAPE_CHARS]


def _cause_key(record: FailureRecord) -> tuple[object, ...]:
    place = place_in(record.message)
    return record.code, record.model, record.cause, place, shape_of(record.message)


_KEYS: Final[dict[str, Callable[[FailureRecord], tuple[object, ...]]]] = {
    "failure": _cause_key,
    "code": lambda record: (record.code,),
    "model": lambda record: (str(ModelReference(record.model, record.version)),),
    "worker": lambda record: (record.worker or "no worker",),
    "cause": lambda record: (record.cause or "no death of a worker",),
    "job": lambda record: (record.job_id,),
    "tenant": lambda record: (record.tenant,),
}


def _empty_group(record: FailureRecord, key: tuple[object, ...]) -> FailureGroup:
    """Return a group that has nothing yet; the first that is added is the newest."""
    return FailureGroup(
        name=str(key[0]),
        code=record.code,
        model=str(ModelReference(record.model, record.version)),
        task=record.task,
        cause=None if record.cause is None else record.cause.value,
        place=place_in(record.message),
        message=record.message,
    )
