"""What the READMEs say is held against the code: settings, links, and that nothing is unrun."""

import re
from pathlib import Path

from readme_blocks import OPERATORS_GUIDE, READMES, ROOT, blocks_of, steps_of
from seqd.cli import exits
from seqd.cli.settings import settings_table
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


def test_the_readme_names_each_status_with_which_a_command_that_hands_work_in_ends():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    known = re.findall(r"^    (\d+) ", exits.__doc__ or "", re.MULTILINE)
    of_others = {"3", "69", "71", "78"}  # a comparison, and what runs workers

    section = text.partition("### Files and exit statuses")[2].partition("\n## ")[0]
    named = set(re.findall(r"\b\d+\b", section.partition("Exit status ")[2]))

    assert [status for status in known if status not in named | of_others] == []


def test_the_operators_guide_names_no_setting_and_no_test_that_there_is_not():
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))

    for page in OPERATORS_GUIDE:
        text = page.read_text(encoding="utf-8")
        settings = {name.lower() for name in re.findall(r"`SEQD_([A-Z_]+)`", text)}
        tests = set(re.findall(r"`(test_\w+)`", text))

        assert settings - set(Settings.model_fields) == set(), page
        assert {name for name in tests if f"def {name}(" not in sources} == set(), page


def test_the_operators_guide_leads_from_its_first_page_to_every_other():
    first = ROOT / "docker" / "README.md"

    reached = {path.resolve() for path, _ in links_of(first)}

    assert [page.name for page in OPERATORS_GUIDE if page not in {first, *reached}] == []


def test_the_tables_of_drills_and_benchmarks_are_beside_their_programs():
    for page in OPERATORS_GUIDE:
        rows = re.findall(r"^\|.*", page.read_text(encoding="utf-8"), re.M)

        assert [row for row in rows if "`make bench-" in row or "| doubled |" in row] == [], page


def test_a_page_of_the_operators_guide_has_one_title_and_its_tables_are_whole():
    for page in OPERATORS_GUIDE:
        text = _FENCED.sub("", page.read_text(encoding="utf-8"))
        titles = re.findall(r"^# .+$", text, re.M)
        tables = [table.splitlines() for table in re.findall(r"(?:^\|.*\n?)+", text, re.M)]
        broken = [
            table[0]
            for table in tables
            if not re.fullmatch(r"(?:\| --- )+\|", table[1:2][0] if table[1:] else "")
            or len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) != 1
        ]

        assert titles == [text.splitlines()[0]], page
        assert broken == [], page


def test_make_demo_installs_what_the_commands_of_the_front_page_need():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    (extras,) = re.findall(r"/run\.stamp:.*\n.*--editable '\.\[(.+)\]'", makefile)

    assert {"serve", "embedded", "parquet"} <= set(extras.split(","))
    assert ".parquet" in "".join(block.text for block in blocks_of(ROOT / "README.md", "sh"))


def test_every_link_of_a_readme_leads_somewhere():
    for readme in READMES:
        links = links_of(readme)
        broken = [path for path, _ in links if not path.exists()]
        lost = [
            (path.name, anchor)
            for path, anchor in links
            if anchor and path.suffix == ".md" and anchor not in anchors_of(path)
        ]

        assert broken == [], readme
        assert lost == [], readme


def test_every_block_that_could_be_run_is_of_a_kind_that_tests_run():
    run = {
        "README.md": {"python", "sh"},
        "docker/backup.md": {"sh"},
        "docker/models.md": {"sh"},
        "docker/placement.md": {"sh"},
        "docker/security.md": {"sh"},
        "docker/upgrade.md": {"sh"},
        "schemas/README.md": {"go", "java", "js", "python", "sh", "ts"},
        "plugins/README.md": {"python", "sh", "toml"},
        "plugins/contract.md": {"python", "sh", "toml"},
        "plugins/how-to.md": {"python", "sh", "toml"},
        "plugins/tutorial.md": {"jsonl", "python", "sh", "toml"},
        "plugins/examples/seqd_embed/README.md": {"python"},
        "plugins/examples/seqd_gru/README.md": {"python", "sh"},
        "plugins/examples/seqd_textcnn/README.md": {"python"},
        "plugins/examples/seqd_tfidf/README.md": {"python"},
        "plugins/seqd_imdb_lstm/README.md": {"jsonl", "sh"},
        "plugins/seqd_markov/README.md": {"python", "sh"},
        "plugins/seqd_modelkit/README.md": {"python"},
        "plugins/seqd_char_lstm/README.md": {"sh"},
    }

    for readme in READMES:
        languages = set(re.findall(r"^```(\w+)", readme.read_text(encoding="utf-8"), re.M))
        those_run = run.get(name_of(readme), set())

        assert languages - {"text"} - those_run == set(), readme
        assert len(blocks_of(readme, "python")) > 0 or "python" not in those_run, readme


def test_each_line_of_what_a_service_expects_is_held_by_tests_that_there_are():
    page = (ROOT / "schemas" / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| a service expects \| tests \|\n.*\n((?:\|.*\n)+)", page, re.M)
    rows = [re.findall(r"`(test_\w+\.py)::(test_\w+)`", row) for row in table.splitlines()]

    missing = [
        f"{file}::{test}"
        for row in rows
        for file, test in row
        if not any(
            f"def {test}(" in path.read_text(encoding="utf-8")
            for path in ROOT.glob(f"tests/*/{file}")
        )
    ]

    assert rows and all(rows)
    assert missing == []


def test_no_page_names_a_file_in_the_folder_that_all_users_and_checkouts_share():
    """Its tests would write there, and those of two checkouts side by side disturb each other."""
    found = [
        f"{page.relative_to(ROOT)}: {line.strip()}"
        for page in READMES
        for block in steps_of(page)
        for line in block.text.splitlines()
        if "/tmp/" in line
    ]

    assert not found, f"Take /data/, which the test replaces by a folder of its own: {found}"
