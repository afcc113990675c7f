"""Variables `SEQD_…` that are no setting: which are slips, and what was meant by them.

One that resembles a setting is a slip, and what was meant by it has no effect. Any other may be
that of another version of seqd, or Kubernetes' own for a service that is called `seqd`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from seqd.errors import InvalidSettings
from seqd.settings import INTERNAL, PREFIX, SERVICE_ADDRESS, Settings, variables_of_seqd
from seqd.validation import did_you_mean

#: A name that is within two edits of a setting's is a slip; within one of a name of few letters, of
#: which two make another word: `ROOT` is two from `SLOT`.
_SHORT_LETTERS = 5

#: What seqd sets to the slot for a worker's own processes, beside the other; from anybody else it
#: changes nothing.
_SLOT = f"{PREFIX}SLOT"
_DEVICE = f"{PREFIX}DEVICE"
_SLOTS = f"{PREFIX}SLOTS"

#: Names that Kubernetes gives the variables of a service, behind that of the service.
_SERVICE = re.compile(
    r"(?:^|_)(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_PROTO|_PORT|_ADDR)?)$"
)


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable `SEQD_…` that is no setting. Its value, which may be a secret, is not kept."""

    name: str
    #: The setting that was meant by what must be a slip; None where it need not be one.
    meant: str | None
    #: What to tell people, as a sentence or two.
    sentence: str


def unknown_variables() -> list[UnknownVariable]:
    """Return the variables `SEQD_…` of this process that are no setting, sorted by name."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    found = variables_of_seqd()
    if _DEVICE not in found:
        known.remove(_SLOT)
    return [
        _unknown(name, value, known)
        for name, value in sorted(found.items())
        if name.upper() not in known
    ]


def refuse_slips(unknown: Iterable[UnknownVariable]) -> None:
    """Raise InvalidSettings for variables that resemble a setting; it names all of them."""
    slips = [variable for variable in unknown if variable.meant is not None]
    if slips:
        raise InvalidSettings(
            " ".join(variable.sentence for variable in slips)
            + " Correct the name, or remove the variable."
        )


def _unknown(name: str, value: str, known: Iterable[str]) -> UnknownVariable:
    said = f"{name} is no setting and changes nothing."
    if name.upper() == _SLOT:
        said += f" Did you mean {_SLOTS!r}, or `seqd worker --slot`?"
        return UnknownVariable(name, _SLOTS, said)
    if _is_of_kubernetes(name, value):
        hint = " It is Kubernetes' own, of a service; `enableServiceLinks: false` leaves it out."
        return UnknownVariable(name, None, said + hint)
    meant = _meant(name.upper(), known)
    if meant is not None:
        return UnknownVariable(name, meant, f"{said} Did you mean {meant!r}?")
    return UnknownVariable(name, None, said + did_you_mean(name.upper(), known, prefix=PREFIX))


def _is_of_kubernetes(name: str, value: str) -> bool:
    rest = name.upper().removeprefix(PREFIX)
    is_address = SERVICE_ADDRESS.match(value) is not None
    return _SERVICE.search(rest) is not None or (is_address and rest.endswith("PORT"))


def _meant(name: str, known: Iterable[str]) -> str | None:
    """Return the setting whose name is nearest, if that is near enough for a slip."""
    rest = name.removeprefix(PREFIX)
    others = (other.removeprefix(PREFIX) for other in known)
    # Of two that are as near, the one that people set.
    ranked = [
        (edits, other.lower() in INTERNAL, other)
        for other in others
        if (edits := edits_between(rest, other)) <= (2 if len(other) > _SHORT_LETTERS else 1)
    ]
    return PREFIX + min(ranked)[2] if ranked else None


def edits_between(one: str, other: str) -> int:
    """Return how many letters to add, drop, replace or swap with the next make them the same.

    The optimal string alignment distance: no letter is edited twice.
    """
    before, row = list[int](), list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        before_last, before, row = before, row, [at]
        for place, wanted in enumerate(other, start=1):
            least = min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != wanted))
            is_swapped = (
                at > 1 and place > 1 and letter == other[place - 2] and wanted == one[at - 2]
            )
            row.append(min(least, before_last[place - 2] + 1) if is_swapped else least)
    return row[-1]
