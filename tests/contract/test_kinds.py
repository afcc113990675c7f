"""Names of kinds stand in the table, the wire contract and the shortcuts, and nowhere else."""

import re
from pathlib import Path

from seqd_schemas import Job  # noqa: F401  # the contract has them

#: A kind's name as a text of Python or Lua.
NAME = re.compile(r"""["'](classify|generate|train|sweep)["']""")

#: Where they may stand: the table, and what is a shortcut for one kind.
ALLOWED = {
    "daemon/seqd/kinds.py": "the table",
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
