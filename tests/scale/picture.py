"""Draws the course of each load: the work that is left, and the pods, over time."""

from pathlib import Path

from scale.autoscaler import ScaledObject
from scale.simulation import Course

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
    for course, row in zip(courses, axes[:, 0], strict=True):
        _draw_course(course, row)
    axes[-1, 0].set_xlabel("minutes")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    work = axes[0, 0].child_axes_work.get_legend_handles_labels()
    figure.legend(
        handles + work[0], labels + work[1], loc="outside upper center", ncols=3, frameon=False
    )
    figure.suptitle(
        f"Pods by seqd_work_left_seconds / {spec.target_s:g} s, at most {spec.max_replicas}",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_course(course: Course, axes) -> None:  # type: ignore[no-untyped-def]
    minutes = [second / 60 for second in range(len(course.replicas))]
    axes.fill_between(minutes, course.replicas, step="post", color=_PODS, label="pods")
    axes.fill_between(minutes, course.busy, step="post", color=_BUSY, label="busy pods")
    axes.set_ylabel("pods")
    axes.set_ylim(0, max(course.replicas) * 1.15 + 0.3)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0, minutes[-1])
    axes.set_title(
        f"{course.load.name}: {course.load.work_s / 3600:.1f} h of work in "
        f"{course.pod_s / 3600:.1f} h of pods, {course.turns} turns, "
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
    axes.child_axes_work = work
    for side in ("top",):
        axes.spines[side].set_visible(False)
        work.spines[side].set_visible(False)
