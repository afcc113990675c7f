"""`python -m mutation`, with `tests` on PYTHONPATH; `make mutate` calls it."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation.coverage import Coverage
from mutation.places import Place, all_places, draw
from mutation.project import Project
from mutation.report import read_accepted, show
from mutation.run import Run, read_verdicts

ROOT = Path(__file__).parents[2]

#: Survivors that were looked at and need no test.
ACCEPTED = Path(__file__).with_name("accepted.toml")

PROJECT = Project(
    root=ROOT,
    areas={
        "ledger": "daemon/seqd/ledger",
        "client": "daemon/seqd/client",
        "worker": "daemon/seqd/worker",
    },
    import_folder="daemon",
    tests=(
        "tests/unit/test_ledger_*.py",
        "tests/unit/test_outage.py",
        "tests/unit/test_client_*.py",
        "tests/unit/test_worker_*.py",
        "tests/integration/test_ledger_*.py",
        "tests/integration/test_hostile_*.py",
        "tests/integration/test_inbox_*.py",
        "tests/integration/test_client_*.py",
        "tests/integration/test_redis_*.py",
        "tests/integration/test_worker_*.py",
        "tests/integration/test_training_*.py",
        "tests/integration/test_sweep*.py",
        "tests/integration/test_admission_limits.py",
        "tests/integration/test_cli_job_control.py",
        "tests/integration/test_idempotency.py",
        "tests/integration/test_job_control.py",
        "tests/integration/test_later_fields.py",
        "tests/integration/test_outage_stalls.py",
        "tests/integration/test_retry_time_to_live.py",
        "tests/integration/test_stream*.py",
        "tests/integration/test_wakeups.py",
        "tests/contract/test_celery_variables.py",
        "tests/contract/test_delayed_messages.py",
        "tests/contract/test_lua_scripts.py",
        "tests/contract/test_releases.py",
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
    lines = all_places(PROJECT)
    drawn = draw(lines, asked.places, asked.seed)
    places = [place for area in areas for place in drawn if place.area == area]
    if not asked.report:
        os.nice(10)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        _run(asked.folder, places, verdicts_file, asked.minutes, with_map=not asked.old_map)
    verdicts = read_verdicts(verdicts_file)
    # Verdicts on sources as they were before count no more.
    known = {place.id for line in lines for place in line} & verdicts.keys()
    text = show([verdicts[name] for name in sorted(known)], read_accepted(ACCEPTED))
    (asked.folder / f"seed-{asked.seed}.txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    left = sum(place.id not in verdicts for place in places)
    print(f"\n{left} of {len(places)} places are left; the same command goes on.")
    return 0


def _run(
    folder: Path, places: list[Place], verdicts_file: Path, minutes: float, *, with_map: bool
) -> None:
    """Measure which tests enter what, where that is not known, and break the places."""
    ends_at = time.monotonic() + 60 * minutes
    coverage = Coverage(PROJECT, folder)
    if with_map:
        for path in coverage.measure():
            row = coverage.files[path]
            say(f"measured {path}: {len(row.tests)} tests enter {len(row.entered)} blocks")
    with TemporaryDirectory(prefix="seqd-mutation-") as scratch:
        run = Run(PROJECT.copy_to(Path(scratch) / "copy"), coverage, verdicts_file)
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
    add("--places", type=int, default=200, help="how many, of all areas together")
    add("--seed", type=int, default=1, help="another one draws other places")
    add("--areas", default=",".join(PROJECT.areas), help="of which, in this order")
    add("--minutes", type=float, default=float("inf"), help="begin no place beyond them")
    add("--folder", type=Path, default=ROOT / ".mutation", help="for the map and the verdicts")
    add("--report", action="store_true", help="only print what earlier runs have found")
    add("--old-map", action="store_true", help="take the map as it is")
    return parser


if __name__ == "__main__":
    sys.exit(main())
