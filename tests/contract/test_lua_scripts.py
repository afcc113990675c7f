"""What every Lua script of the ledger says of itself, and that something runs it."""

import re
from importlib import resources

import pytest

from seqd.ledger.scripts import LAST, SHARED

LUA = resources.files("seqd.ledger") / "lua"
SCRIPTS = sorted(file.name for file in LUA.iterdir() if file.name.endswith(".lua"))
PARTS = sorted(file.name for file in (LUA / "shared").iterdir())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_what_it_takes_returns_and_guarantees(name: str):
    head = re.match(r"(?:--.*\n)+", (LUA / name).read_text())

    assert head is not None
    for part in ("ARGV", "Keys", "Returns", "Guarantee"):
        assert re.search(rf"^-- {part}: \S", head[0], re.MULTILINE), f"no `{part}:`"


def test_every_script_is_called(sources):
    text = "\n".join(source.text for source in sources)

    unused = [name for name in SCRIPTS if f'"{name.removesuffix(".lua")}"' not in text]

    assert unused == []


def test_every_shared_part_is_in_front_of_the_scripts_or_behind_them():
    assert sorted([*(f"shared/{part}.lua" for part in SHARED), LAST]) == [
        f"shared/{name}" for name in PARTS
    ]
