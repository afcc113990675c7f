"""The curves of an endless run as one picture, a panel each; the warm-up is grey.

Curves that rose are thick and named in their panel's title. The panels of processes share one
legend, in a place of its own.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from endless.curves import Curve, Soak

COLUMNS = 3


def draw(soak: Soak, path: Path) -> None:
    """Write the picture as PNG."""
    panels: dict[str, list[Curve]] = {}
    for curve in soak.curves.values():
        panels.setdefault(curve.panel, []).append(curve)
    risen = {verdict.name for verdict in soak.verdicts() if not verdict.is_flat}
    rows = -(-(len(panels) + 1) // COLUMNS)
    figure = Figure(figsize=(15, 3.4 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    minutes = [second / 60 for second in soak.seconds]
    for number, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        _panel(axes, title, curves, minutes, soak.warm_up_s / 60, risen)
    _legend(figure.add_subplot(rows, COLUMNS, rows * COLUMNS), figure.axes[0])
    state = f"{len(risen)} rise" if risen else "all flat after the warm-up"
    items = sum(soak.items_of.values())
    figure.suptitle(
        f"Soak of {minutes[-1]:.0f} minutes, {items:,} items: {len(soak.curves)} curves, {state}"
    )
    figure.savefig(path)


def _panel(
    axes: Axes,
    title: str,
    curves: list[Curve],
    minutes: list[float],
    warm_up: float,
    risen: set[str],
) -> None:
    axes.axvspan(0, min(warm_up, minutes[-1]), color="#eeeeee")
    for number, curve in enumerate(curves):
        axes.plot(
            minutes,
            curve.values,
            linewidth=2.4 if curve.name in risen else 1.1,
            color=f"C{number % 10}",
            linestyle="-" if number < 10 else "--",
            label=_source_of(curve),
        )
    names = [_source_of(curve) for curve in curves if curve.name in risen]
    axes.set_title(f"{title}; rises: {', '.join(names)}" if names else title, fontsize=9)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _source_of(curve: Curve) -> str:
    """Return what a curve was measured of: `redis, open files` gives `redis`."""
    return curve.name.rpartition(", ")[0] or curve.name


def _legend(axes: Axes, processes: Axes) -> None:
    axes.axis("off")
    handles, names = processes.get_legend_handles_labels()
    axes.legend(handles, names, loc="center", fontsize=9, title="processes", frameon=False)
