"""What a sweep came to, as a table: a row for each combination, and which is best."""

from collections.abc import Sequence

from seqd.cli.rendering.numbers import count, counted, duration, metric
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_table
from seqd.combinations import is_less_better, shown
from seqd.sweep_report import SweepReport, sweep_job_of
from seqd_schemas import JobRecord, JobState, SweepJob, TrainedVersion

#: Figures that have a column, the deciding one included.
_MOST_FIGURES = 5


def print_sweep(screen: Screen, report: SweepReport) -> None:
    """Print the versions with their figures, the one that decides first, and then the errors."""
    figures = _figures_of(report)
    columns = [*report.parameters, *(name.replace("_", " ") for name in figures)]
    rows = [
        _row(one, report.parameters, figures, is_best=name == report.best)
        for name, one in report.trained.items()
    ]
    if rows:
        print_table(screen, [*columns, "seconds", "version", ""], rows)
    for failure in report.failed:
        screen.say(f"{failure.custom_id}: {failure.error.code}: {failure.error.message}", "red")


def say_best(screen: Screen, report: SweepReport, record: JobRecord) -> None:
    """Say which version is best, by what, and which labels it has got."""
    job = sweep_job_of(record)
    if report.figure is None or report.best is None:
        _say_no_best(screen, report, job)
        return
    best = report.trained[report.best]
    name = report.figure.replace("_", " ")
    which = "lowest" if is_less_better(report.figure) else "highest"
    ref = f"{best.model}@{best.version}"
    figure = metric(best.metrics[report.figure])
    screen.say(f"Best: {ref} ({report.best}), with the {which} {name}, {figure}.", "bold green")
    if job.labels and record.state is JobState.COMPLETED:
        screen.say(f"Labelled {', '.join(job.labels)}: {ref}")


def _say_no_best(screen: Screen, report: SweepReport, job: SweepJob) -> None:
    if not report.trained:
        return
    known = sorted({name for one in report.trained.values() for name in one.metrics})
    said = "a figure to compare by" if job.metric is None else f"the figure {job.metric!r}"
    labels = ", and no label was moved" if job.labels else ""
    screen.say(
        f"No version is called best{labels}: not all have {said}. Their figures: "
        f"{', '.join(known) or 'none'}; --metric names one.",
        "yellow",
    )


def say_sweep_headline(screen: Screen, report: SweepReport, seconds: float | None) -> None:
    """Say how many combinations were trained, and in what time."""
    total = counted(len(report.trained) + len(report.failed), "combination")
    share = f"{count(len(report.trained))} of {total}" if report.failed else total
    line = f"{share} of {report.model} trained"
    if seconds is not None and report.trained:
        line += f" in {duration(seconds)}"
    screen.say(line)


def _figures_of(report: SweepReport) -> list[str]:
    """Name the figures to show: the one that decides, then those that are not all the same."""
    metrics = [one.metrics for one in report.trained.values()]
    names = dict.fromkeys(name for figures in metrics for name in figures)
    telling = [
        name
        for name in names
        if len(metrics) == 1 or len({figures.get(name) for figures in metrics}) > 1
    ]
    first = [] if report.figure is None else [report.figure]
    return list(dict.fromkeys([*first, *telling]))[:_MOST_FIGURES]


def _row(
    one: TrainedVersion, parameters: Sequence[str], figures: Sequence[str], *, is_best: bool
) -> tuple[object, ...]:
    values = [_value(one.parameters.get(name)) for name in parameters]
    measured = [metric(one.metrics[name]) if name in one.metrics else "" for name in figures]
    mark = "best" if is_best else ""
    return (*values, *measured, f"{one.seconds:.1f}", f"{one.model}@{one.version}", mark)


def _value(value: object) -> str:
    return shown(value)  # type: ignore[arg-type] # a parameter's value, as it travelled
