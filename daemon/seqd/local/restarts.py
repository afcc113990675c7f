"""How long to wait before what has died is started again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Waits of 1, 2, 4 ... 30 s between starts, which two kinds of worker begin anew.

    One that lived for 60 s; and one that took work and was then ended by a signal, such as the
    out-of-memory killer's. It had started well, and a start of seconds before each such death
    keeps the slot from spinning. A worker that dies while it starts, or that ends itself each
    time, is the one to wait longer and longer for.
    """

    first_s: float = 1.0
    longest_s: float = 30.0
    forgiven_after_s: float = 60.0

    def deaths_in_a_row(
        self, before: int, lived_s: float, *, was_ready: bool = False, by_signal: bool = False
    ) -> int:
        """Count a death: one more than `before`, or the first where it is forgiven."""
        is_forgiven = lived_s >= self.forgiven_after_s or (was_ready and by_signal)
        return 1 if is_forgiven else before + 1

    def wait_s(self, deaths_in_a_row: int) -> float:
        """Seconds to wait after the given number of deaths, from 1."""
        # 2 ** 30 s is beyond any limit, and the power stays a small number.
        doubled = self.first_s * 2.0 ** min(deaths_in_a_row - 1, 30)
        return float(min(self.longest_s, doubled))


#: What holds where nobody names another.
RESTARTS = RestartPolicy()
