"""Write the table of settings in the operators' guide again, as `make settings` does."""

import re
from pathlib import Path

from seqd.cli.settings import settings_table

GUIDE = Path(__file__).parents[2] / "docker" / "settings.md"

if __name__ == "__main__":
    text = GUIDE.read_text(encoding="utf-8")
    table = re.compile(r"^\| variable \| default \|.*\n(?:\|.*\n)+", re.MULTILINE)
    text, count = table.subn(lambda _: settings_table(), text)
    if count != 1:
        raise SystemExit(f"{GUIDE} has {count} tables of settings; allowed: 1")
    GUIDE.write_text(text, encoding="utf-8")
