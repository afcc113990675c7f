"""Each page leads where it says, and each of its blocks is run, or shown for a reason."""

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy_files import documents, unknown_in
from example_plugin import OTHER_EXAMPLES, runnable_examples
from guides.daemons import Daemon
from guides.pages import NEEDS, name_of, page_of
from guides.reader import follow, matches
from readme_blocks import PAGES, ROOT, steps_of
from seqd.settings import Settings

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

#: A line of a page that is a command which can be checked without being run.
COMMAND = re.compile(
    r"^(?:SEQD_\w+=\S+ )*((?:/\S+/)?seqd .*|docker compose .*|make .*|export SEQD_.*)$", re.M
)

#: Pages whose examples need a library that is not installed here.
LACKING = {
    f"plugins/examples/seqd_{name}/README.md": f"{library} is not installed: pip install {library}"
    for name, library in OTHER_EXAMPLES.items()
    if name not in runnable_examples()
}

#: Those with one daemon one after the other.
FOLLOWED = sorted(
    (path for path in PAGES if not all(map(page_of(path).is_shown, steps_of(path)))),
    key=lambda path: (page_of(path).daemon.__name__, page_of(path).is_alone),
)


def marks_of(path: Path) -> list[pytest.MarkDecorator]:
    """Return the marks of a page: when it is followed, and that it cannot be here."""
    lacking = LACKING.get(name_of(path))
    return [
        *([pytest.mark.long] if page_of(path).is_long else []),
        *([pytest.mark.slow] if page_of(path).is_slow else []),
        *([pytest.mark.skip(reason=lacking)] if lacking else []),
    ]


class Daemons:
    """The daemon that pages one after the other are followed on."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._folders = tmp_path_factory
        self._ends = ExitStack()
        self._running: tuple[object, Daemon] | None = None

    def of(self, path: Path) -> Daemon:
        """Return the one that a page needs: that of the page before, or another one."""
        page = page_of(path)
        key = (page.daemon, path if page.is_alone else None)
        if self._running is None or self._running[0] != key:
            self.close()
            daemon = self._ends.enter_context(page.daemon(self._folders.mktemp("data")))
            self._running = key, daemon
        return self._running[1]

    def close(self) -> None:
        """End the one that runs."""
        self._running = None
        self._ends.close()


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    found = Daemons(tmp_path_factory)
    yield found
    found.close()


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=marks_of(path), id=name_of(path)) for path in FOLLOWED]
)
def test_a_page_leads_where_it_says(
    path: Path, daemons: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    daemon = daemons.of(path)
    for name, value in daemon.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    follow(path, page_of(path), tmp_path, daemon)


def test_each_block_is_run_or_shows_what_is_printed_or_has_a_reason():
    unsaid = [
        f"{name_of(path)}: {block.text.splitlines()[0]}"
        for path in PAGES
        for before, block in zip([None, *steps_of(path)], steps_of(path), strict=False)
        if page_of(path).is_shown(block)
        and not page_of(path).is_output(block, before)
        and not page_of(path).reason_of(block.text)
    ]

    assert unsaid == [], "Have it run, or say in guides/pages.py why not."


def test_what_is_said_of_a_block_is_of_one_and_reasons_name_tests_that_there_are():
    for name, page in NEEDS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        tests = [why for why in page.shown.values() if why.startswith("tests/")]

        starts = {*page.shown, *page.before, *page.awaited}
        assert [start for start in starts if start not in text] == [], name
        assert [test for test in tests if not (ROOT / test).is_file()] == [], name


def test_each_command_that_is_only_shown_is_one():
    for path in PAGES:
        for block in filter(page_of(path).is_shown, steps_of(path)):
            for line in COMMAND.findall(block.text.replace("\\\n", " ")):
                check(shlex.split(line, comments=True))


def check(words: list[str]) -> None:
    """Check a command of ours, or one of Compose: options, files, and what is called."""
    if words[0] == "make":
        rules = re.findall(r"^[.\w].*", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
        assert words[1] in " ".join(rules).replace(":", " ").split(), words
    elif words[0] == "export":
        assert words[1].partition("=")[0].removeprefix("SEQD_").lower() in Settings.model_fields
    elif words[0] == "docker":
        files = [words[at + 1] for at, word in enumerate(words) if word == "-f"]
        known = {name for file in files for name in documents(ROOT / file)[0]["services"]}
        assert set(re.findall(r"--scale (\w+)=", " ".join(words))) <= known, words
        profiles = {at + 1 for at, word in enumerate(words) if word == "--profile"}
        named = (at for at, word in enumerate(words) if word in known and at not in profiles)
        called = next(named, len(words))
        assert called == len(words) or unknown_in(words[called + 1 :]) == set(), words
    else:
        assert unknown_in(words[1:]) == set(), words


def test_output_of_a_page_is_held_against_what_is_printed_line_by_line():
    page = "label  …  text\n…\n2 items in … s\n"

    assert matches("label  1.0  text\nmore\nand more\n2 items in 0.3 s\n", page)
    assert matches("label  0.9  text\n2 items in 0.3 s\n", page)
    assert not matches("label  0.9  text\n3 items in 0.3 s\n", page)
    assert not matches("label  0.9  text\n2 items in 0.3 s\nand a line\n", page)
