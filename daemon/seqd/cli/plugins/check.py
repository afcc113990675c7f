"""`seqd plugins check`: holds a plugin against each clause of the contract, on this machine."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import readers
from seqd.cli.exits import OK
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest
from seqd.escaping import printable

if TYPE_CHECKING:
    from seqd.models.loading import PluginSource
    from seqd.testing.checks.report import CheckResult, Report

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
    from seqd.cli.plugins.subjects import sources_of, tell_of_folder
    from seqd.cli.ui.stdout import keep_stdout_from_plugins
    from seqd.testing.checks.running import LIMIT_S, check_plugin

    keep_stdout_from_plugins()
    _check_folder(version_folder)
    reports: list[Report] = []
    tell_of_folder(plugin)
    for source in sources_of(plugin):
        with _telling_that_it_goes_on(source.name):
            limit_s = timeout or LIMIT_S
            report = check_plugin(source, version_folder=version_folder, limit_s=limit_s)
        taken = _taken_names(source, report)
        report = report.model_copy(update={"results": (*report.results, *taken)})
        reports.append(report)
        if not screen.is_beside_json:
            for result in report.failed:
                _print_failure(screen, result)
            screen.say(f"{report.plugin}: {report.closing_line()}")
    return Found(
        {"reports": [_with_summary(report) for report in reports]},
        status=_FAILED if any(report.failed for report in reports) else OK,
    )


def _taken_names(source: "PluginSource", report: "Report") -> "list[CheckResult]":
    """Return a failed result for each name that another plugin has."""
    from seqd.cli.plugins.subjects import names_taken_from
    from seqd.testing.checks.catalog import Part
    from seqd.testing.checks.report import CheckResult, CheckState

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


def _with_summary(report: "Report") -> dict[str, object]:
    return {**report.model_dump(mode="json"), "summary": report.closing_line()}


def _check_folder(folder: Path | None) -> None:
    if folder is not None and not folder.is_dir():
        raise InvalidRequest(
            f"--version-folder is {str(folder)!r}, which is no folder. Give that of a version's "
            "files."
        )


def _telling_that_it_goes_on(plugin: str) -> AbstractContextManager[object]:
    """Return a block that draws a line on a terminal: checks may take minutes."""
    screen = Screen(to_stderr=True)
    if not screen.is_live:
        return nullcontext()
    return screen.console.status(f"Checking {printable(plugin)}")


def _print_failure(screen: Screen, result: "CheckResult") -> None:
    headline, *facts = result.lines()
    screen.say(headline, "bold red")
    for fact in facts:
        screen.say(fact.replace(f"{Path.cwd()}/", ""))
    screen.say()
