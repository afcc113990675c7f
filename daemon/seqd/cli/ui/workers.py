"""Workers and operators' rules as tables, and the same as rows for programs."""

from collections.abc import Collection, Mapping, Sequence

from pydantic import JsonValue

from seqd.cli.ui.memory import memory_lines
from seqd.cli.ui.numbers import age
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.serving import shown_state
from seqd.targets import Place, is_meant, option_of
from seqd_schemas import CordonRule, WorkerStatus

_COLUMNS = (
    "worker",
    "host",
    "slot",
    "device",
    "state",
    "jobs",
    "units",
    "labels",
    "version",
    "child since",
)
_RULE_COLUMNS = ("rule", "action", "workers", "by", "since", "reason")

Row = dict[str, JsonValue]


def rows_of(
    workers: Sequence[WorkerStatus],
    in_hand: Mapping[str, tuple[int, int]],
    silent: Mapping[str, int],
    last: Mapping[str, WorkerStatus],
    unheard: Collection[str],
    now_ms: int,
) -> list[Row]:
    """Return a row for each worker: those that are up, then those not heard of any more.

    `last` is what those that are silent said last, of as many as that is known of.
    """
    rows = [
        _row(one, shown_state(one, unheard), *in_hand.get(one.worker, (0, 0)), now_ms)
        for one in workers
    ]
    for name, seen_at_ms in sorted(silent.items()):
        jobs, units = in_hand.get(name, (0, 0))
        row: Row = {
            "worker": name,
            "state": "silent",
            "jobs_in_hand": jobs,
            "units_in_hand": units,
            "seen_at_ms": seen_at_ms,
            "age_s": _age_s(seen_at_ms, now_ms),
        }
        rows.append(_known(name, last.get(name)) | row)
    return rows


def print_workers_list(screen: Screen, rows: Sequence[Row]) -> None:
    """Print the rows, and below them why a worker claims nothing."""
    if not rows:
        screen.say("No worker is up: `seqd up` starts them.", "yellow")
        return
    print_table(screen, _COLUMNS, [_cells(row) for row in rows])


def print_memory(screen: Screen, workers: Sequence[WorkerStatus]) -> None:
    """Print what each worker has loaded and leaves to others; nothing where that is nothing."""
    lines = [line for worker in workers for line in memory_lines(worker)]
    if lines:
        screen.say()
    for line in lines:
        screen.say(line, "dim")


def print_rules(
    screen: Screen, rules: Sequence[CordonRule], workers: Sequence[WorkerStatus], now_ms: int
) -> None:
    """Print the rules that stand, with the workers that each means; nothing where none does."""
    if not rules:
        return
    screen.say()
    print_table(
        screen,
        _RULE_COLUMNS,
        [
            (
                option_of(rule.target),
                str(rule.action),
                str(sum(is_meant(Place.of(one), rule.target) for one in workers)),
                rule.by,
                age(rule.at_ms, now_ms),
                rule.reason or "-",
            )
            for rule in rules
        ],
    )


def _row(one: WorkerStatus, state: str, jobs: int, units: int, now_ms: int) -> Row:
    cordon = one.cordon
    return {
        "worker": one.worker,
        "host": one.host,
        "slot": one.slot,
        "device": one.slot.rpartition("@")[2],
        "labels": dict(one.labels),
        "state": state,
        "jobs_in_hand": jobs,
        "units_in_hand": units,
        "unfit": len(one.unfit),
        "loaded_bytes": dict(one.loaded_bytes),
        "memory_budget_bytes": one.memory_budget_bytes,
        "left_out": list(one.left_out),
        "deaths": [death.model_dump(mode="json") for death in one.deaths],
        "death_counts": {str(cause): count for cause, count in one.death_counts.items()},
        "cordon": None if cordon is None else cordon.model_dump(mode="json"),
        "supervised": one.supervised,
        "seqd_version": one.seqd_version,
        "started_at_ms": one.started_at_ms,
        "seen_at_ms": one.seen_at_ms,
        "age_s": _age_s(one.started_at_ms, now_ms),
    }


def _known(name: str, last: WorkerStatus | None) -> Row:
    """Return who a worker was: what it said last, or what is in a name `SLOT@HOST-NONCE`."""
    if last is not None:
        return {
            "host": last.host,
            "slot": last.slot,
            "device": last.slot.rpartition("@")[2],
            "labels": dict(last.labels),
            "pid": last.pid,
            "seqd_version": last.seqd_version,
        }
    slot, _, host = name.rpartition("-")[0].rpartition("@")
    return {"host": host, "slot": slot} if slot else {}


def _cells(row: Row) -> tuple[object, ...]:
    labels = row.get("labels")
    told = ",".join(f"{k}={v}" for k, v in labels.items()) if isinstance(labels, dict) else ""
    started = row.get("started_at_ms", row["seen_at_ms"])
    seconds = row["age_s"]
    assert isinstance(started, int) and isinstance(seconds, int)
    return (
        row["worker"],
        row.get("host", "-"),
        row.get("slot", "-"),
        row.get("device", "-"),
        row["state"],
        str(row.get("jobs_in_hand", "-")),
        str(row.get("units_in_hand", "-")),
        told or "-",
        row.get("seqd_version", "-"),
        "-" if row["state"] in ("drained", "starting") else age(started, started + 1_000 * seconds),
    )


def _age_s(since_ms: int, now_ms: int) -> int:
    return max(0, now_ms - since_ms) // 1_000
