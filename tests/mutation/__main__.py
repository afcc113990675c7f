"""`python -m mutation`, with `tests` on PYTHONPATH; `make mutate` calls it."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation.coverage import Coverage
from mutation.places import Place, draw, lines_of
from mutation.project import Project
from mutation.report import show
from mutation.run import Run, read_verdicts

ROOT = Path(__file__).parents[2]

PROJECT = Project(
    root=ROOT,
    areas={
        "ledger-lua": ("daemon/seqd/ledger/**/*.lua",),
        "ledger": ("daemon/seqd/ledger/**/*.py",),
        "client": ("daemon/seqd/client/**/*.py",),
        "worker": ("daemon/seqd/worker/**/*.py",),
        "cli": ("daemon/seqd/cli/**/*.py",),
        "models": ("daemon/seqd/models/**/*.py",),
        "plugin": ("daemon/seqd/plugin/**/*.py", "daemon/seqd/hookspecs/**/*.py"),
        "doctor": ("daemon/seqd/doctor/**/*.py",),
        "local": ("daemon/seqd/local/**/*.py",),
        "testing": ("daemon/seqd/testing/**/*.py",),
        "plugins": ("plugins/seqd_*/**/*.py",),
        "others": (
            "daemon/seqd/*.py",
            "daemon/seqd/analysis/**/*.py",
            "daemon/seqd/authoring/**/*.py",
            "daemon/seqd/exporter/**/*.py",
            "daemon/seqd/inputs/**/*.py",
            "schemas/seqd_schemas/**/*.py",
        ),
    },
    import_folder="daemon",
    # In this order: a map that was stopped knows those that enter most.
    tests=(
        *(f"tests/*/test_{area}_*.py" for area in ("ledger", "client", "worker")),
        "tests/integration/test_*.py",
        "tests/unit/test_*.py",
        "tests/**/test_*.py",
    ),
)


def main() -> int:
    """Read the command line; returns the exit status."""
    asked = _parser().parse_args()
    areas = asked.areas.split(",")
    if unknown := set(areas) - set(PROJECT.areas):
        sys.exit(f"--areas: {', '.join(sorted(unknown))} is none of {', '.join(PROJECT.areas)}")
    asked.folder.mkdir(exist_ok=True)
    verdicts_file = asked.folder / f"seed-{asked.seed}.jsonl"
    places = [
        place for area in areas for place in draw(lines_of(PROJECT, area), asked.places, asked.seed)
    ]
    if not asked.report:
        os.nice(5)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        _run(asked, places, verdicts_file)
    verdicts = read_verdicts(verdicts_file)
    known = [verdicts[place.id] for place in places if place.id in verdicts]
    text = show(known)
    (asked.folder / f"seed-{asked.seed}.txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    left = len(places) - len(known)
    print(f"\n{left} of {len(places)} places are left; the same command goes on.")
    return 0


def _run(asked: argparse.Namespace, places: list[Place], verdicts_file: Path) -> None:
    """Measure which tests enter what, where that is not known, and break the places."""
    ends_at = time.monotonic() + 60 * asked.minutes
    coverage = Coverage(PROJECT, asked.folder)
    if not asked.old_map:
        for row in coverage.measure(asked.at_once):
            say(f"measured {row.path}: {len(row.tests)} tests enter {len(row.entered)} blocks")
    with TemporaryDirectory(prefix="seqd-mutation-") as scratch:
        copies = [PROJECT.copy_to(Path(scratch) / f"copy-{n}") for n in range(asked.at_once)]
        run = Run(copies, coverage, verdicts_file, again=asked.again)
        for verdict in run.over(places, ends_at):
            say(
                f"{verdict.seconds:5.0f} s  {verdict.outcome:9}  {verdict.path}:{verdict.line}  "
                f"{verdict.rule}  {verdict.by}"
            )


def say(text: str) -> None:
    """Print a line at once, also into a file."""
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mutation", description=sys.modules["mutation"].__doc__)
    add = parser.add_argument
    add("--places", type=int, default=40, help="how many of each area")
    add("--seed", type=int, default=1, help="another one draws other places")
    add("--areas", default=",".join(PROJECT.areas), help="of which, in this order")
    add("--minutes", type=float, default=float("inf"), help="begin no place beyond them")
    add("--at-once", type=int, default=2, help="how many places, or test files")
    add("--folder", type=Path, default=ROOT / ".mutation", help="for the map and the verdicts")
    add("--report", action="store_true", help="only print what earlier runs have found")
    add("--again", action="store_true", help="break again what nobody has noticed")
    add("--old-map", action="store_true", help="take the map as it is")
    return parser


if __name__ == "__main__":
    sys.exit(main())
