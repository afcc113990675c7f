"""Celery never waits for us: what is to be done later stands in the ledger.

A message with a delay that is longer than the visibility timeout is handed out again and again,
in a loop, and is held in a worker's memory meanwhile.
"""

import ast

#: Arguments by which a Celery message is delayed, and the call that does it by itself.
DELAYS = {"eta", "countdown", "expires"}
SENDERS = {"send_task", "apply_async", "retry", "signature", "si", "delay"}


def test_no_message_is_sent_with_a_delay_and_all_from_the_wakeup(sources) -> None:
    calls = [
        (source, call, _called(call))
        for source in sources
        if source.is_in("seqd")
        for call in ast.walk(source.tree)
        if isinstance(call, ast.Call)
    ]

    delayed = [
        f"{source.where(call.lineno)} {name} with {keyword.arg}"
        for source, call, name in calls
        if name in SENDERS
        for keyword in call.keywords
        if keyword.arg in DELAYS or keyword.arg is None
    ]
    senders = {
        source.module for source, _, name in calls if name in {"send_task", "apply_async", "lpush"}
    }
    assert delayed == [], "Put a unit back with `wait_s` instead: the ledger has timers."
    assert senders == {"seqd.ledger.wakeup"}


def _called(call: ast.Call) -> str:
    """Return the name of what is called, without what it belongs to."""
    target = call.func
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
