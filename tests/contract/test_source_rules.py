"""What stands in a source: how Python is started, what is sent late, and how Redis is reached.

Celery never waits for us: what is to be done later stands in the ledger. A message with a delay
that is longer than the visibility timeout is handed out again and again, in a loop, and is held in
a worker's memory meanwhile.
"""

import ast

#: Arguments by which a Celery message is delayed, and the call that does it by itself.
DELAYS = {"eta", "countdown", "expires"}
SENDERS = {"send_task", "apply_async", "retry", "signature", "si", "delay"}


def test_each_python_that_a_module_starts_is_told_so(sources):
    unsafe = [
        source.where(node.lineno)
        for source in sources
        for node in source.nodes
        if isinstance(node, ast.List)
        and node.elts
        and ast.unparse(node.elts[0]) == "sys.executable"
        if not {"'-P'", "'-I'"} & {ast.unparse(part) for part in node.elts[1:]}
    ]

    assert unsafe == []


def test_no_message_is_sent_with_a_delay_and_all_by_the_scripts(sources) -> None:
    calls = [
        (source, call, _called(call))
        for source in sources
        if source.is_in("seqd")
        for call in source.nodes
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
    assert senders == set()


def test_no_connection_is_made_without_the_certificates_and_the_login_of_the_settings(sources):
    connects = {"seqd.ledger.connect", "seqd.ledger.redis.connect"}
    calls = {
        source.where(call.lineno): {keyword.arg for keyword in call.keywords}
        for source in sources
        if source.is_in("seqd") and connects & {name for _, name in source.imports()}
        for call in source.nodes
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "connect"
    }

    assert len(calls) >= 5
    assert [place for place, keywords in calls.items() if "access" not in keywords] == []


def _called(call: ast.Call) -> str:
    """Return the name of what is called, without what it belongs to."""
    target = call.func
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
