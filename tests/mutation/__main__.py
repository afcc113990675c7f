"""`python -m mutation`, with `tests` on PYTHONPATH; `make mutate` calls it."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation.places import Place, draw, lines_of
from mutation.project import Area, Project
from mutation.report import show
from mutation.run import Run, read_verdicts

ROOT = Path(__file__).parents[2]

_MODEL = "tests/model/test_model.py"

PROJECT = Project(
    root=ROOT,
    areas={
        "ledger-lua": Area(
            ("daemon/seqd/ledger/**/*.lua",),
            ("*/test_ledger_*", "*/test_hostile_ledger*", "*/test_inbox*", _MODEL),
        ),
        "ledger": Area(
            ("daemon/seqd/ledger/**/*.py",),
            ("*/test_ledger_*", "*/test_redis_*", "*/test_*outage*", "*/test_inbox*", _MODEL),
        ),
        "client": Area(
            ("daemon/seqd/client/**/*.py",),
            ("*/test_client_*", "*/test_async_*", "*/test_job_*", "*/test_*explain*",
             "*/test_result_*", "*/test_run_*", "*/test_sweeps*", "*/test_model_*", _MODEL),
        ),
        "worker": Area(
            ("daemon/seqd/worker/**/*.py",),
            ("*/test_worker_*", "*/test_training_*", "*/test_child_*", "*/test_ingest_*",
             "*/test_*rollouts*", "*/test_testing_*", "*/test_run_*", "*/test_model_*", _MODEL),
        ),
        "cli": Area(("daemon/seqd/cli/**/*.py",), ("*/test_cli_*", "*/test_top*", "*/test_job_*")),
        "models": Area(
            ("daemon/seqd/models/**/*.py",),
            ("*/test_store_*", "*/test_registry_*", "*/test_service_*", "*/test_*version*",
             "*/test_names_*", "*/test_starters*", "*/test_model_*", "*/test_archives*"),
        ),
        "plugin": Area(
            ("daemon/seqd/plugin/**/*.py", "daemon/seqd/hookspecs/**/*.py"),
            ("*/test_plugin_*", "*/test_parameters*", "*/test_run_*", "*/test_task_*"),
        ),
        "doctor": Area(
            ("daemon/seqd/doctor/**/*.py",),
            ("*/test_doctor_*", "*/test_device_*", "*/test_queue_*", "*/test_cli_*", "*/test_top*"),
        ),
        "local": Area(
            ("daemon/seqd/local/**/*.py",),
            ("*/test_server_*", "*/test_supervisor_*", "*/test_up_*", "*/test_slot*",
             "*/test_probes*", "*/test_accelerator*", "*/test_cgroups*", "*/test_watchdog*"),
        ),
        "testing": Area(
            ("daemon/seqd/testing/**/*.py",),
            ("*/test_testing_*", "*/test_plugin_check*", "tests/conformance/*"),
        ),
        "plugins": Area(
            ("plugins/seqd_*/**/*.py",),
            ("*/test_imdb_*", "*/test_char_lstm_*", "*/test_markov_*", "*/test_ngrams*",
             "*/test_modelkit_*", "*/test_text_models*", "tests/conformance/*", "tests/models/*"),
        ),
        "others": Area(
            ("daemon/seqd/*.py", "daemon/seqd/analysis/**/*.py", "daemon/seqd/authoring/**/*.py",
             "daemon/seqd/exporter/**/*.py", "daemon/seqd/inputs/**/*.py",
             "schemas/seqd_schemas/**/*.py"),
            ("tests/unit/*", "*/test_exporter*", "*/test_plugin_*", "*/test_cli_*"),
        ),
    },
)  # fmt: skip


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
    """Break the places, and say what became of each."""
    ends_at = time.monotonic() + 60 * asked.minutes
    with TemporaryDirectory(prefix="seqd-mutation-") as scratch:
        copies = [PROJECT.copy_to(Path(scratch) / f"copy-{n}") for n in range(asked.at_once)]
        for verdict in Run(copies, verdicts_file, again=asked.again).over(places, ends_at):
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
    add("--at-once", type=int, default=2, help="how many places")
    add("--folder", type=Path, default=ROOT / ".mutation", help="for the verdicts")
    add("--report", action="store_true", help="only print what earlier runs have found")
    add("--again", action="store_true", help="break again what nobody has noticed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
