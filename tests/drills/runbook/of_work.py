"""Faults of what is asked for: a tenant with very much work, results nobody fetches, a backlog."""

from collections.abc import Callable
from functools import partial

from drills.runbook.fault import Fault
from drills.runbook.operator import Operator
from drills.runbook.stack import Stack, a_stack

#: Jobs of the tenant that has very many.
_MANY_JOBS = 200

#: Items that take the workers of the drill about a minute.
_BACKLOG_ITEMS = 30_000

_ITEM_MS = 4.0

#: Seconds of all workers that are a backlog here.
_BACKLOG_S = 30.0

#: Jobs that end, and bytes that a tenant may keep: fewer than these jobs have.
_UNFETCHED_JOBS, _KEPT_BYTES = 60, 65_536


def _one_tenant_sends_very_much(stack: Stack) -> Callable[[], object]:
    client = stack.cluster.client()
    jobs = [
        client.classify(
            [f"text {number}" for number in range(64)],
            model="echo",
            parameters={"delay_ms": _ITEM_MS, "note": str(job)},
            tenant="noisy",
        )
        for job in range(_MANY_JOBS)
    ]
    quiet = stack.job = client.classify(
        ["one", "two"] * 1_000, model="echo", parameters={"delay_ms": 50.0}, tenant="quiet"
    )
    return lambda: [job.cancel() for job in (*jobs, quiet)]


def _by_explain(text: str) -> Callable[[Operator, Stack], str]:
    """Return a look at `seqd explain` of the fault's job that is content with a text."""

    def look(operator: Operator, stack: Stack) -> str:
        assert stack.job is not None
        return f"explain: {text}" if text in operator.explained(stack.job.job_id) else ""

    return look


def _more_comes_than_is_done(stack: Stack) -> Callable[[], object]:
    job = stack.cluster.client().classify(
        (f"text {number}" for number in range(_BACKLOG_ITEMS)),
        model="echo",
        parameters={"delay_ms": _ITEM_MS, "note": "backlog"},
    )
    return job.cancel


def _more_is_kept_than_is_allowed(stack: Stack) -> Callable[[], object]:
    """Have jobs of one tenant end, whose results nobody fetches, until the oldest are removed."""
    client = stack.cluster.client()
    for job in range(_UNFETCHED_JOBS):
        client.classify(
            [f"text {number}" for number in range(64)],
            model="echo",
            parameters={"note": str(job)},
            tenant="slow",
        ).wait(timeout_s=60)
    return lambda: None


def _by_queues(operator: Operator, stack: Stack) -> str:
    """Look at `seqd queues`: a queue of which the workers have for more than half a minute."""
    waits = [queue["eta_s"] for queue in operator.queues() if queue["eta_s"] is not None]
    return "queues: done in" if max(waits, default=0.0) > _BACKLOG_S else ""


def _by_evictions(operator: Operator, stack: Stack) -> str:
    """Look at `seqd status`: jobs that were removed since their tenant kept too much."""
    evicted = operator.status()["evicted_jobs"]["tenant_kept_bytes"]
    return "status: removed before their time" if evicted else ""


FAULTS = (
    Fault("noisy-tenant", inject=_one_tenant_sends_very_much, named=_by_explain("tenant noisy")),
    Fault("backlog-grows", inject=_more_comes_than_is_done, named=_by_queues),
    Fault(
        "slow-consumer",
        inject=_more_is_kept_than_is_allowed,
        named=_by_evictions,
        stack=partial(a_stack, max_tenant_kept_bytes=_KEPT_BYTES, min_kept_s=0.0),
    ),
)
