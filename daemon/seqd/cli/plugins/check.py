"""`seqd plugins check`: holds a plugin against each clause of the contract, on this machine."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import readers
from seqd.cli.exits import OK
from seqd.cli.plugins.subjects import names_taken_from, sources_of, tell_of_folder
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import keep_stdout_from_plugins
from seqd.errors import InvalidRequest
from seqd.escaping import printable
from seqd.models.loading import PluginSource
from seqd.testing.checks.catalog import Part
from seqd.testing.checks.report import CheckResult, CheckState, Report
from seqd.testing.checks.running import LIMIT_S, Progress, check_plugin

_OnFound = Callable[[CheckResult], None]

#: Exit status where a check failed, as where a plugin broke its contract.
_FAILED = 1


@shown
def check(
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="An installed plugin or model, the folder of a distribution, or a .py file.",
        ),
    ] = ".",
    version_folder: Annotated[
        Path | None,
        typer.Option(
            "--version-folder",
            metavar="FOLDER",
            help="A version's files, for a model that is not trained and ships none.",
        ),
    ] = None,
    timeout: Annotated[
        int | None,
        readers.typed(
            "--timeout",
            by=readers.whole(1, 3_600, " seconds"),
            help="Seconds that one check may take, 30 by default. Loading may take four times, a "
            "check of trainings ten times as long.",
        ),
    ] = None,
    *,
    screen: Screen,
) -> Found:
    """Check that a plugin keeps each clause of the contract.

    Without an argument it is the plugin of this folder. The exit status is 1 where a check failed.
    """
    keep_stdout_from_plugins()
    if version_folder is not None and not version_folder.is_dir():
        raise InvalidRequest(
            f"--version-folder is {str(version_folder)!r}, which is no folder. Give that of a "
            "version's files."
        )
    reports: list[Report] = []
    tell_of_folder(plugin)
    for source in sources_of(plugin):
        printed = None if screen.is_beside_json else partial(_print_failure, screen)
        with _progress_line(source.name, printed) as told:
            progress, found = told
            report = check_plugin(
                source,
                version_folder=version_folder,
                limit_s=timeout or LIMIT_S,
                progress=progress,
                found=found,
            )
        taken = _taken_names(source, report)
        report = report.model_copy(update={"results": (*report.results, *taken)})
        reports.append(report)
        if not screen.is_beside_json:
            for result in taken:
                _print_failure(screen, result)
            screen.say(f"{report.plugin}: {report.closing_line()}")
    return Found(
        {"reports": [one.model_dump() | {"summary": one.closing_line()} for one in reports]},
        status=_FAILED if any(report.failed for report in reports) else OK,
    )


def _taken_names(source: PluginSource, report: Report) -> list[CheckResult]:
    """Return a failed result for each name that another plugin has."""
    models = {result.model for result in report.results if result.id != "L1"}
    return [
        CheckResult(
            id="L2",
            model=report.plugin,
            part=Part.DESCRIPTION,
            meaning="No other installed plugin has the plugin's name or that of a model.",
            state=CheckState.FAILED,
            seen=taken,
            cure=cure,
        )
        for taken, cure in names_taken_from(source, models).items()
    ]


@contextmanager
def _progress_line(
    plugin: str, found: _OnFound | None
) -> Iterator[tuple[Progress | None, _OnFound | None]]:
    """Draw a line that says which check runs, on a terminal; yield what is told and found.

    The line is away while a failure is printed.
    """
    screen = Screen(to_stderr=True)
    if not screen.is_live:
        yield None, found
        return
    with screen.console.status(f"Checking {printable(plugin)}") as status:

        def show(done: int, total: int, what: str) -> None:
            count = f"{done} of {total} checks, " if total else ""
            status.update(f"Checking {printable(plugin)}: {count}{printable(what)}")

        def show_failure(result: CheckResult) -> None:
            status.stop()
            if found is not None:
                found(result)
            status.start()

        yield show, show_failure


def _print_failure(screen: Screen, result: CheckResult) -> None:
    headline, *facts = result.lines()
    screen.say(headline, "bold red")
    for fact in facts:
        screen.say(fact.replace(f"{Path.cwd()}/", ""))
    screen.say()
    sys.stdout.flush()  # other checks may take minutes
