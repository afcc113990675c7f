"""What the reader wants to see: the view, the order, the filter, the place; what each key does.

Pure: a key makes a new view of the old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

VIEWS: Final = ("overview", "queues", "workers", "jobs", "failures")

#: What the rows of a view can be sorted by; the first is what they are sorted by at first.
SORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "overview": ("work left", "waiting", "items/s", "oldest", "name"),
    "queues": ("work left", "waiting", "items/s", "oldest", "name"),
    "workers": ("trouble", "name", "items/s", "units", "silence"),
    "jobs": ("newest", "oldest", "items left", "name"),
    "failures": ("newest", "items", "code"),
}

#: The longest filter.
_MOST_CHARS: Final = 64

HELP: Final = (
    ("q, Ctrl-C", "quit"),
    ("1 to 5", "overview, queues, workers, jobs, failures"),
    ("Tab, left, right", "the next view, the one before"),
    ("up, down, PgUp, PgDn", "scroll the rows"),
    ("s", "sort by the next column that rows can be sorted by"),
    ("/", "show only rows with a text; Enter keeps it, Esc ends it"),
    ("p, space", "pause the display, and go on; reading goes on meanwhile"),
    ("?, h", "this help, and back"),
)

HELP_NOTES: Final = (
    "items/s, errors/min: of about the last minute; a worker's of the last 15 s.",
    "work left: for how long one slot would work; ~ where that was never measured. What is in",
    "hand counts as a whole until it is done.",
    "ends in: the rest of it by the workers that can run it now, if nothing is added.",
    "jobs: the newest 200 open ones. failures: the newest 100 dead letters.",
)


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen."""

    name: str = "overview"
    #: By view, the place in `SORTS`.
    sorts: Mapping[str, int] = field(default_factory=dict)
    search: str = ""
    #: True while the filter is typed.
    is_typing: bool = False
    #: Rows that are above the screen.
    scroll: int = 0
    is_paused: bool = False
    is_help: bool = False
    #: True at the end.
    has_ended: bool = False

    @property
    def sort(self) -> str:
        """What the rows are sorted by."""
        return SORTS[self.name][self.sorts.get(self.name, 0)]


def pressed(view: View, key: str, most_scroll: int) -> View:
    """Return the view behind a key; so many of its rows can be above the screen at most."""
    if key == "c-c":
        return replace(view, has_ended=True)
    if view.is_typing:
        return _typed(view, key)
    if view.is_help:
        return replace(view, is_help=False, has_ended=key == "q")
    if key in _STEPS:
        return replace(view, scroll=max(0, min(view.scroll + _STEPS[key], most_scroll)))
    return _commanded(view, key)


def _commanded(view: View, key: str) -> View:
    if key in ("tab", "right", "s-tab", "left"):
        step = 1 if key in ("tab", "right") else -1
        return _seen(view, VIEWS[(VIEWS.index(view.name) + step) % len(VIEWS)])
    if key.isdecimal() and 1 <= int(key) <= len(VIEWS):
        return _seen(view, VIEWS[int(key) - 1])
    if key == "s":
        place = (view.sorts.get(view.name, 0) + 1) % len(SORTS[view.name])
        return replace(view, sorts={**view.sorts, view.name: place}, scroll=0)
    changes: dict[str, dict[str, bool | str]] = {
        "q": {"has_ended": True},
        "?": {"is_help": True},
        "h": {"is_help": True},
        "/": {"is_typing": True, "search": ""},
        "escape": {"search": ""},
        "p": {"is_paused": not view.is_paused},
        " ": {"is_paused": not view.is_paused},
    }
    return replace(view, **changes.get(key, {}))  # type: ignore[arg-type]


def _seen(view: View, name: str) -> View:
    return replace(view, name=name, scroll=0, search="")


def _typed(view: View, key: str) -> View:
    if key == "escape":
        return replace(view, is_typing=False, search="")
    if key == "enter":
        return replace(view, is_typing=False)
    if key == "backspace":
        return replace(view, search=view.search[:-1])
    if len(key) == 1 and key.isprintable() and len(view.search) < _MOST_CHARS:
        return replace(view, search=view.search + key, scroll=0)
    return view


#: Rows that a key scrolls by.
_STEPS: Final[Mapping[str, int]] = {
    "up": -1,
    "down": 1,
    "pageup": -10,
    "pagedown": 10,
    "home": -(10**9),
    "end": 10**9,
}
