"""What the READMEs say is held against the code: settings, links, and that nothing is unrun."""

import re
from pathlib import Path

import pytest

from readme_blocks import READMES, ROOT, blocks_of
from seqd.cli.settings import settings_table
from seqd.settings import Settings

_LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def test_the_operators_guide_has_the_table_of_settings_that_the_class_makes():
    """`make settings` writes it again."""
    guide = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")

    (found,) = re.findall(r"^\| variable \| default \|.*\n(?:\|.*\n)+", guide, re.MULTILINE)

    assert found == settings_table()


def test_the_operators_guide_names_no_setting_that_there_is_not():
    guide = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")

    named = {name.lower() for name in re.findall(r"`SEQD_([A-Z_]+)`", guide)}

    assert named <= set(Settings.model_fields)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_link_of_a_readme_leads_somewhere(readme: Path):
    links = _LINK.findall(readme.read_text(encoding="utf-8"))

    broken = [link for link in links if not (readme.parent / link).exists()]

    assert broken == []


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_block_that_could_be_run_is_of_a_kind_that_tests_run(readme: Path):
    run = {
        "README.md": {"python", "sh"},
        "docker/README.md": {"sh"},
        "schemas/README.md": {"python", "sh"},
        "plugins/README.md": {"python", "sh", "toml"},
        "plugins/seqd_imdb_lstm/README.md": {"jsonl", "sh"},
        "plugins/seqd_markov/README.md": {"python", "sh"},
        "plugins/seqd_modelkit/README.md": {"python"},
        "plugins/seqd_char_lstm/README.md": {"sh"},
    }
    name = str(readme.relative_to(ROOT))

    languages = set(re.findall(r"^```(\w+)", readme.read_text(encoding="utf-8"), re.M))

    assert languages - {"text"} <= run.get(name, set())
    assert len(blocks_of(readme, "python")) > 0 or "python" not in run.get(name, set())
