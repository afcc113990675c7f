"""The plugin table as plain text, for an error message or a log.

`seqd plugins list` draws its own, for the whole fleet. Called by `host`.
"""

from collections.abc import Sequence

from seqd_schemas import PluginStatus


def plugin_table(statuses: Sequence[PluginStatus]) -> str:
    """Draw one line a plugin: its name, state, origin, and its models or the reason."""
    rows = [("plugin", "state", "distribution", "models, or the reason")]
    rows += [_row(status) for status in statuses]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(status: PluginStatus) -> tuple[str, str, str, str]:
    origin = f"{status.distribution} {status.version}".strip()
    return status.name, str(status.state), origin, status.reason or ", ".join(status.models)


def _line(row: tuple[str, str, str, str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join(["", *cells, row[3]]).rstrip()
