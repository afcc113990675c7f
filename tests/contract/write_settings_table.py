"""Write the table of settings in the operators' guide again, as `make settings` does."""

import re
from pathlib import Path

from seqd.cli.settings import in_words
from seqd.settings import INTERNAL, PREFIX, Settings, description_of

#: What stands in the guide for a default that depends on the machine.
DEFAULTS = {"data_dir": "`platformdirs` user data folder"}

GUIDE = Path(__file__).parents[2] / "docker" / "settings.md"


def settings_table() -> str:
    """Return the table of the operators' guide, as Markdown."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        if name not in INTERNAL:
            default = DEFAULTS.get(name) or in_words(field.default)
            lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {description_of(name)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = GUIDE.read_text(encoding="utf-8")
    table = re.compile(r"^\| variable \| default \|.*\n(?:\|.*\n)+", re.MULTILINE)
    text, count = table.subn(lambda _: settings_table(), text)
    if count != 1:
        raise SystemExit(f"{GUIDE} has {count} tables of settings; allowed: 1")
    GUIDE.write_text(text, encoding="utf-8")
