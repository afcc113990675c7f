"""Draws the course of each load: the work that is left, and the pods, over time."""

from pathlib import Path

from scale.autoscaler import ScaledObject
from scale.simulation import Course
from seqd.cli.ui.numbers import counted

#: Colours that keep apart in grey, too.
_WORK, _PODS, _BUSY = "#b04a2f", "#9db8d2", "#1f4e79"


def draw(courses: list[Course], spec: ScaledObject, path: Path) -> None:
    """Write the picture; the kind of file is the path's suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(courses), 1, figsize=(10, 2.3 * len(courses)), layout="constrained", squeeze=False
    )
    works = [_draw_course(course, row) for course, row in zip(courses, axes[:, 0], strict=True)]
    axes[-1, 0].set_xlabel("minutes")
    handles = [*axes[0, 0].get_legend_handles_labels()[0], *works[0].get_lines()]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False)
    figure.suptitle(
        f"A pod for {spec.target_s:g} s of seqd_work_left_seconds, or for a busy worker; at most "
        f"{spec.max_replicas}",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_course(course: Course, axes):  # type: ignore[no-untyped-def]
    """Draw pods, and behind another axis the work; return that axis."""
    minutes = [second / 60 for second in range(len(course.replicas))]
    axes.fill_between(minutes, course.replicas, step="post", color=_PODS, label="pods")
    axes.fill_between(minutes, course.busy, step="post", color=_BUSY, label="busy pods")
    axes.set_ylabel("pods")
    axes.set_ylim(0, max(course.replicas) * 1.15 + 0.3)
    axes.yaxis.get_major_locator().set_params(integer=True)
    last = max(second for second, pods in enumerate(course.replicas) if pods)
    axes.set_xlim(0, min(len(minutes), last + 120) / 60)
    axes.set_title(
        f"{course.load.name}: {course.load.work_s / 3600:.1f} h of work in "
        f"{course.pod_s / 3600:.1f} h of pods, {counted(course.turns, 'turn')}, "
        f"{course.wakes} from zero",
        loc="left",
        fontsize=10,
    )
    work = axes.twinx()
    work.plot(
        minutes, [s / 60 for s in course.signal_s], color=_WORK, linewidth=1, label="work left"
    )
    work.set_ylabel("work left, minutes", color=_WORK)
    work.set_ylim(bottom=0)
    for one in (axes, work):
        one.spines["top"].set_visible(False)
    return work
