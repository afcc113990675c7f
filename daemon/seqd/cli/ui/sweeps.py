"""What people see of a sweep: a line for each epoch and combination, a table at its end."""

from collections.abc import Mapping, Sequence

from seqd.analysis.sweeps import SweepReport, is_less_better, shown, sweep_job_of
from seqd.cli.ui.numbers import count, counted, duration, metric
from seqd.cli.ui.progress import EPOCHS_GONE, ProgressView, log_told
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_rows
from seqd_schemas import (
    Epoch,
    Event,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Log,
    Missed,
    ModelReference,
    SweepJob,
    TrainedVersion,
)

Result = ItemSuccess | ItemFailure

#: Figures that have a column, the deciding one included.
_MOST_FIGURES = 5


class SweepView(ProgressView):
    """Prints lines on a sweep while it runs."""

    def __init__(self, screen: Screen, record: JobRecord) -> None:
        super().__init__(record)
        self._screen = screen
        self._model = record.model
        #: Combinations of which the result was told.
        self._done = set[str]()

    def show(self, event: Event) -> None:
        """Show the next event."""
        if self._rate.add(event) and not self._had_ended:
            self._screen.say(f"{self._model}: {self._rate.change(event)}")
        elif isinstance(event, Log):
            name = "" if event.run is None else f"{event.run}: "
            self._screen.say(name + log_told(event), "dim" if event.level == "info" else "yellow")
        elif isinstance(event, Missed) and event.lasting:
            self._screen.say(EPOCHS_GONE, "yellow")
        elif isinstance(event, Epoch) and event.run is not None:
            self._screen.say(_epoch_line(event))

    def add_results(self, results: Mapping[str, Result]) -> None:
        """Show the results that are there by now, each once."""
        for name, result in results.items():
            if name not in self._done and not self._had_ended:
                self._screen.say(_done_line(result), "" if result.ok else "red")
        self._done |= results.keys()


def print_sweep(screen: Screen, report: SweepReport) -> None:
    """Print the versions with their figures, the one that decides first, and then the errors."""
    figures = _figures_of(report)
    columns = [*report.parameters, *(name.replace("_", " ") for name in figures)]
    rows = [
        _table_row(one, report.parameters, figures, is_best=name == report.best)
        for name, one in report.trained.items()
    ]
    if rows:
        print_rows(screen, [*columns, "seconds", "version", ""], rows)
    for failure in report.failed:
        screen.say(f"{failure.custom_id}: {failure.error.code}: {failure.error.message}", "red")


def say_best(
    screen: Screen, report: SweepReport, record: JobRecord, in_service: int | None = None
) -> None:
    """Say which version is best, by what, which labels it has got, and what the name means."""
    job = sweep_job_of(record)
    if report.figure is None or report.best is None:
        _say_no_best(screen, report, job)
        return
    best = report.trained[report.best]
    name = report.figure.replace("_", " ")
    which = "lowest" if is_less_better(report.figure) else "highest"
    ref = ModelReference(best.model, best.version)
    figure = metric(best.metrics[report.figure])
    screen.say(f"Best: {ref} ({report.best}), with the {which} {name}, {figure}.", "bold green")
    if job.labels and record.state is JobState.COMPLETED:
        screen.say(f"Labelled {', '.join(job.labels)}: {ref}")
    if in_service not in (None, best.version):
        means = ModelReference(best.model, in_service)
        screen.say(f"{best.model} means {means}. To change that: seqd models promote {ref}")


def say_sweep_headline(screen: Screen, report: SweepReport, seconds: float | None) -> None:
    """Say how many combinations were trained, and in what time."""
    total = counted(len(report.trained) + len(report.failed), "combination")
    share = f"{count(len(report.trained))} of {total}" if report.failed else total
    line = f"{share} of {report.model} trained"
    if seconds is not None and report.trained:
        line += f" in {duration(seconds)}"
    screen.say(line)


def _epoch_line(epoch: Epoch) -> str:
    figures = [f"{name.replace('_', ' ')} {metric(value)}" for name, value in epoch.metrics.items()]
    parts = [f"epoch {epoch.epoch}/{epoch.epochs}", *figures, duration(epoch.seconds)]
    return f"{epoch.run}: {', '.join(parts)}"


def _done_line(result: Result) -> str:
    if isinstance(result, ItemFailure):
        return f"{result.custom_id}: failed, {result.error.message}"
    made = result.output
    if not isinstance(made, TrainedVersion):
        return f"{result.custom_id}: done"
    return f"{result.custom_id}: {made.model}@{made.version} after {duration(made.seconds)}"


def _say_no_best(screen: Screen, report: SweepReport, job: SweepJob) -> None:
    if not report.trained:
        return
    known = sorted({name for one in report.trained.values() for name in one.metrics})
    missing = "a figure to compare by" if job.metric is None else f"the figure {job.metric!r}"
    labels = ", and no label was moved" if job.labels else ""
    screen.say(
        f"No version is called best{labels}: not all have {missing}. Their figures: "
        f"{', '.join(known) or 'none'}; --metric names one.",
        "yellow",
    )


def _figures_of(report: SweepReport) -> list[str]:
    """Return the figures to show: the one that decides, then those that differ."""
    metrics = [one.metrics for one in report.trained.values()]
    names = dict.fromkeys(name for figures in metrics for name in figures)
    differing = [
        name
        for name in names
        if len(metrics) == 1 or len({figures.get(name) for figures in metrics}) > 1
    ]
    first = [] if report.figure is None else [report.figure]
    return list(dict.fromkeys([*first, *differing]))[:_MOST_FIGURES]


def _table_row(
    one: TrainedVersion, parameters: Sequence[str], figures: Sequence[str], *, is_best: bool
) -> tuple[object, ...]:
    values = [shown(one.parameters.get(name)) for name in parameters]
    measured = [metric(one.metrics[name]) if name in one.metrics else "" for name in figures]
    mark = "best" if is_best else ""
    return (*values, *measured, f"{one.seconds:.1f}", ModelReference(one.model, one.version), mark)
