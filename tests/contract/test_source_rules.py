"""What stands in a source: names of kinds and states, how Python is started, and what is sent late.

Celery never waits for us: what is to be done later stands in the ledger. A message with a delay
that is longer than the visibility timeout is handed out again and again, in a loop, and is held in
a worker's memory meanwhile.
"""

import ast
import re
from pathlib import Path

#: A kind's name as a text of Python or Lua.
NAME = re.compile(r"""["'](classify|generate|train|sweep)["']""")

#: Where they may stand, and why.
ALLOWED = {
    "daemon/seqd/kinds.py": "the table",
    "daemon/seqd/ledger/lua/shared/kinds.lua": "what the scripts must know of it",
    "daemon/seqd/client/client.py": "shortcuts",
    "daemon/seqd/client/async_client.py": "shortcuts",
    "daemon/seqd/client/requests.py": "the requests of shortcuts",
    "daemon/seqd/cli/app.py": "names of commands",
    "daemon/seqd/cli/classify.py": "a shortcut",
    "daemon/seqd/cli/generate.py": "a shortcut",
    "daemon/seqd/batch/predictor.py": "the type of what the default task gives",
    "daemon/seqd/plugin/functions.py": "decorators of functions that do one",
    "daemon/seqd/plugin/decorated.py": "calls the function that does one",
    "daemon/seqd/plugin/classes.py": "methods of a class that does one",
    "daemon/seqd/inputs/records.py": "a folder of a data set, `train/`, and no kind",
}

#: A comparison of a state with the name of one in which a job has not ended.
OPEN_STATE = re.compile(
    r"""state[^=\n]{0,20}(?:[=~!]=| in| is) *[({]?b?["'](queued|running|paused)["']"""
)

#: Arguments by which a Celery message is delayed, and the call that does it by itself.
DELAYS = {"eta", "countdown", "expires"}
SENDERS = {"send_task", "apply_async", "retry", "signature", "si", "delay"}


def test_names_of_kinds_stand_in_the_table_and_the_shortcuts_alone(root: Path):
    found = {}
    for path in sorted((root / "daemon" / "seqd").rglob("*")):
        if path.suffix not in (".py", ".lua"):
            continue
        lines = [line for line in path.read_text().splitlines() if NAME.search(line)]
        name = path.relative_to(root).as_posix()
        if lines and name not in ALLOWED:
            found[name] = lines

    assert found == {}


def test_each_file_that_may_name_a_kind_does(root: Path):
    silent = [name for name in ALLOWED if not NAME.search((root / name).read_text())]

    assert silent == []


def test_what_may_be_done_to_an_open_job_is_asked_of_the_table_of_states(root: Path):
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted((root / "daemon" / "seqd").rglob("*"))
        if path.suffix in (".py", ".lua")
        for line in path.read_text().splitlines()
        if OPEN_STATE.search(line)
    ]

    # Nothing of a job that is queued was ever claimed.
    assert [one for one in found if "'queued'" not in one or not one.startswith("claim.lua")] == []


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


def test_each_module_that_the_makefile_runs_in_the_environment_is_run_so(root: Path):
    lines = (root / "Makefile").read_text(encoding="utf-8").splitlines()

    calls = [line for line in lines if re.search(r"\$\(BIN\)/python .*-m ", line)]

    assert len(calls) > 5
    assert [line for line in calls if "$(BIN)/python -P -m " not in line] == []


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
