"""Numbers as people read them: counts, rates, times, sizes and metrics."""

import time
from collections.abc import Mapping

from seqd.wording import counted as counted


def count(number: int) -> str:
    """Return a whole number with separators, such as `25,000`."""
    return f"{number:,}"


def rate(per_second: float) -> str:
    """Return a rate, one digit of it where it is slow; without its unit."""
    if 0.0001 <= per_second < 0.05:
        return f"{per_second:.1g}"
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"


def duration(seconds: float) -> str:
    """Return a time span, such as `0.8 s`, `42 s`, `3:05` or `1:02:09`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(then_ms: int, now_ms: int) -> str:
    """Return how long ago something was, such as `5 min`."""
    seconds = max(0, now_ms - then_ms) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock(at_ms: int) -> str:
    """Return a moment in local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def size(size_bytes: int) -> str:
    """Return a number of bytes, such as `12.3 kB`."""
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.1f} kB"
    if size_bytes < 1_000_000_000:
        return f"{size_bytes / 1_000_000:.1f} MB"
    return f"{size_bytes / 1_000_000_000:.1f} GB"


def metric(value: float) -> str:
    """Return a metric with four digits behind the point, a count or a large one without any."""
    if abs(value) >= 1_000 or (value == int(value) and abs(value) >= 2):
        return f"{value:,.0f}"
    return f"{round(value, 4) + 0.0:.4f}"  # the sum makes a negative zero positive


def metrics_line(metrics: Mapping[str, float]) -> str:
    """Return metrics by name, such as `loss 0.3112, accuracy 0.8679`."""
    return ", ".join(f"{name} {metric(value)}" for name, value in metrics.items())
