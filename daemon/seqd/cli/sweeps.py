"""Sees a sweep through: each combination as it gets on; a table, the best and a picture at the end.

Shared by `seqd sweep` and `seqd jobs watch`.
"""

import time
from pathlib import Path

from seqd.cli.exits import MISTAKE, OK
from seqd.cli.rendering.bulk_view import seconds_of
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.sweep_table import print_sweep, say_best, say_sweep_headline
from seqd.cli.rendering.sweep_view import SweepView
from seqd.cli.rendering.tables import print_json
from seqd.client import JobHandle
from seqd.sweep_report import SweepReport, report_of, sweep_job_of
from seqd_schemas import TERMINAL_EVENTS

#: Seconds between two looks at the results that are there, but for progress and the end.
_LOOK_EVERY_S = 1.0


def see_sweep_through(
    handle: JobHandle, screen: Screen, *, plot: Path | None = None, as_json: bool = False
) -> int:
    """Show a sweep to its end and what it came to; gives the exit status.

    Raises JobFailed, JobCancelled and JobExpired, after showing what was trained by then.
    """
    _follow(handle, screen)
    record = handle.record()
    job = sweep_job_of(record)
    report = report_of(job, handle.results_by_now().values())
    if not as_json:
        print_sweep(screen, report)
        say_sweep_headline(screen, report, seconds_of(record))
        say_best(screen, report, record)
    drawn = plot is not None and draw(screen, report, plot)
    handle.wait()
    if as_json:
        picture = str(plot) if drawn else None
        print_json({"job": record, **report.as_json(), "plot": picture})
    elif report.failed:
        screen.say(f"The failed ones once more: seqd jobs retry {record.job_id}")
    return MISTAKE if report.failed else OK


def draw(screen: Screen, report: SweepReport, plot: Path) -> bool:
    """Draw the figures of what was trained; False, and a line, where there is nothing to draw."""
    from seqd.plots.canvas import NO_FONT
    from seqd.plots.sweeps import draw_sweep

    if not report.trained or report.figure is None:
        screen.say(f"There is nothing to draw, so {plot} is not written.", "yellow")
        return False
    if draw_sweep(report, plot).lacks_characters:
        screen.say(NO_FONT, "yellow")
    screen.say(f"{plot}: {report.figure.replace('_', ' ')} and time as a picture")
    return True


def _follow(handle: JobHandle, screen: Screen) -> None:
    with SweepView(screen, handle.record()) as view:
        looked_at_s = 0.0
        for event in handle.events():
            view.show(event)
            is_news = event.event == "progress" or event.event in TERMINAL_EVENTS
            if is_news or time.monotonic() - looked_at_s >= _LOOK_EVERY_S:
                looked_at_s = time.monotonic()
                view.settle(handle.results_by_now())
