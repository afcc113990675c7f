"""Names of kinds stand in the table, the wire contract and the shortcuts, and nowhere else."""

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
    "daemon/seqd/plugin/functions.py": "decorators of functions that do one",
    "daemon/seqd/plugin/loaded.py": "calls the function that does one",
    "daemon/seqd/plugin/classes.py": "methods of a class that does one",
    "daemon/seqd/inputs/records.py": "a folder of a data set, `train/`, and no kind",
}


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
