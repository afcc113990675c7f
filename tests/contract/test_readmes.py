"""What the READMEs say is held against the code: settings, links, and that nothing is unrun."""

import re
from pathlib import Path

from contract.write_settings_table import settings_table
from readme_blocks import OPERATORS_GUIDE, PAGES, ROOT, blocks_of
from seqd.cli import exits
from seqd.settings import Settings

_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")

_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    """Return what GitHub makes of the headings of a page."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> list[tuple[Path, str]]:
    """Return the path and the anchor, or "", to which each link of a page leads."""
    links = _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return [(page.parent / path if path else page, anchor) for path, anchor in links]


def test_the_operators_guide_has_the_table_of_settings_that_the_class_makes():
    """`make settings` writes it again."""
    page = (ROOT / "docker" / "settings.md").read_text(encoding="utf-8")

    (found,) = re.findall(r"^\| variable \| default \|.*\n(?:\|.*\n)+", page, re.MULTILINE)

    assert found == settings_table()


def test_the_page_on_files_names_each_status_with_which_a_command_that_hands_work_in_ends():
    text = (ROOT / "schemas" / "files.md").read_text(encoding="utf-8")
    known = re.findall(r"^    (\d+) ", exits.__doc__ or "", re.MULTILINE)
    of_others = {"3", "69", "71", "78"}  # a comparison, and what runs workers

    section = text.partition("| status | meaning |")[2].partition("\n## ")[0]
    named = set(re.findall(r"\b\d+\b", section))

    assert [status for status in known if status not in named | of_others] == []


def test_what_a_page_names_is_there():
    """Settings, tests, and files of ours."""
    known = set[str]()
    for path in ROOT.glob("tests/**/test_*.py"):
        tests = re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
        known |= {path.stem, path.name, *tests, *(f"{path.name}::{test}" for test in tests)}
    named = re.compile(r"`(test_\w+(?:\.py(?:::test_\w+)?)?)`")
    ours = re.compile(r"`(tests/[\w./]+)`|\b(docker/(?!secrets|input)[\w./*@-]*[\w*])")
    settings = {name.upper() for name in Settings.model_fields}

    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        files = {file or other for file, other in ours.findall(text)}

        assert set(named.findall(text)) - known == set(), page
        assert [file for file in files if not list(ROOT.glob(file))] == [], page
        assert set(re.findall(r"`SEQD_([A-Z_]+)`", text)) - settings == set(), page


def test_the_operators_guide_leads_from_its_first_page_to_every_other():
    first = ROOT / "docker" / "README.md"

    reached = {path.resolve() for path, _ in links_of(first)}

    assert [page.name for page in OPERATORS_GUIDE if page not in {first, *reached}] == []


def test_make_demo_installs_what_the_commands_of_the_front_page_need():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    (extras,) = re.findall(r"/run\.stamp:.*\n.*--editable '\.\[(.+)\]'", makefile)

    assert {"serve", "embedded", "parquet"} <= set(extras.split(","))
    assert ".parquet" in "".join(block.text for block in blocks_of(ROOT / "README.md", "sh"))


def test_every_link_of_a_readme_leads_somewhere():
    for readme in PAGES:
        links = links_of(readme)
        broken = [path for path, _ in links if not path.exists()]
        lost = [
            (path.name, anchor)
            for path, anchor in links
            if anchor and path.suffix == ".md" and anchor not in anchors_of(path)
        ]

        assert broken == [], readme
        assert lost == [], readme


def test_the_table_of_the_model_kit_says_of_each_module_whether_it_is_stable():
    kit = ROOT / "plugins" / "seqd_modelkit"
    page = (kit / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \| .* \| (0\.[23]|no) \|$", page, re.M)
    told = sorted(name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell))

    modules = {path.stem for path in kit.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in kit.glob("*/__init__.py")}

    assert told == sorted(modules | packages)
