"""Every connection to Redis that the daemon makes has the certificates of the settings."""

import ast
from pathlib import Path


def calls_of_connect(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    is_ours = any(
        isinstance(node, ast.ImportFrom)
        and node.module in ("seqd.ledger", "seqd.ledger.redis")
        and any(name.name == "connect" for name in node.names)
        for node in ast.walk(tree)
    )
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "connect"
        and is_ours
    ]


def test_no_connection_is_made_without_the_certificates_and_the_login_of_the_settings(root: Path):
    calls = {
        f"{path.relative_to(root)}:{call.lineno}": {keyword.arg for keyword in call.keywords}
        for path in (root / "daemon" / "seqd").rglob("*.py")
        for call in calls_of_connect(path)
    }

    assert len(calls) >= 5
    assert [place for place, keywords in calls.items() if "access" not in keywords] == []
