"""What every Lua script of the ledger says of itself, and that something runs it."""

import re
from importlib import resources

from bench.script_cases import CASES
from seqd.ledger.scripts import LAST, SHARED

LUA = resources.files("seqd.ledger") / "lua"
SCRIPTS = sorted(file.name for file in LUA.iterdir() if file.name.endswith(".lua"))
PARTS = sorted(file.name for file in (LUA / "shared").iterdir())

#: Commands whose work grows with what a key holds, and those that free it while Redis waits.
UNBOUNDED = {
    "KEYS", "HKEYS", "HVALS", "HGETALL", "SMEMBERS", "SORT", "COPY", "DUMP", "DEL", "FLUSHDB",
    "SINTER", "SUNION", "SDIFF", "ZUNION", "ZINTER", "ZDIFF", "ZREMRANGEBYSCORE",
}  # fmt: skip

#: Those that are called all the same, since the lines before them count what there is.
COUNTED = {
    ("shared/leases.lua", "HGETALL"),
    ("shared/endings.lua", "HKEYS"),
    # At most 16 ranges of a file are offered at a time (`RANGES_AHEAD`).
    ("take_range.lua", "HGETALL"),
    # A job's own hash: its request, and some tens of fields; clients read it as a whole, too.
    ("results.lua", "HGETALL"),
    # A tenant has at most 10 (`MAX_TENANT_WEBHOOKS`).
    ("shared/webhooks.lua", "HGETALL"),
    # At most 256 orders are open at a time (`MAX_MODEL_ORDERS`).
    ("place_order.lua", "ZREMRANGEBYSCORE"),
}


def test_every_script_is_called(sources):
    text = "\n".join(source.text for source in sources)

    unused = [name for name in SCRIPTS if f'"{name.removesuffix(".lua")}"' not in text]

    assert unused == []


def test_every_shared_part_is_in_front_of_the_scripts_or_behind_them():
    assert sorted([*(f"shared/{part}.lua" for part in SHARED), LAST]) == [
        f"shared/{name}" for name in PARTS
    ]


def test_no_script_reads_or_frees_a_key_as_a_whole_that_may_be_large():
    found = set()
    for name in [*SCRIPTS, *(f"shared/{part}" for part in PARTS)]:
        code = re.sub(r"--.*", "", (LUA / name).read_text())
        called = re.findall(r"(?:call|write_shared)\('([A-Z]+)'", code)
        whole = r"'(?:Z|L|ZREV|X)RANGE(?:BYSCORE)?', [^()]*(?:\([^()]*\))?, 0, -1\b"
        found |= {(name, command) for command in called if command in UNBOUNDED}
        found |= {(name, text) for text in re.findall(whole, code)}

    assert found == COUNTED


def test_every_script_has_a_worst_case_in_the_benchmark_of_scripts():
    covered = {script for scripts, _, _ in CASES for script in scripts}

    assert covered == {name.removesuffix(".lua") for name in SCRIPTS}
