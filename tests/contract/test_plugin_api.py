"""The published contract of plugins changes by additions, and each of them raises the version."""

from itertools import pairwise

import pytest

from contract.plugin_api import additions, breaks, published, snapshots
from seqd.hookspecs import PLUGIN_API_VERSION

OLD = {
    "seqd.x.Kind": "class",
    "seqd.x.Kind.size": "int = 512",
    "seqd.x.Kind.load": "function",
    "seqd.x.Kind.load(folder)": "Path",
    "seqd.x.run": "function",
    "seqd.x.run(text)": "str",
}


def test_the_contract_breaks_no_plugin_of_its_version():
    found = breaks(snapshots()[PLUGIN_API_VERSION], published())

    assert found == [], (
        "A change of the contract breaks plugins. Undo it; or raise the major of "
        "PLUGIN_API_VERSION in seqd/hookspecs/model.py, with a way for plugins of the old one, "
        f"and write the snapshot by `make reference`: {found}"
    )


def test_an_addition_to_the_contract_raises_the_minor():
    found = additions(snapshots()[PLUGIN_API_VERSION], published())

    major, minor = PLUGIN_API_VERSION
    assert found == [], (
        f"New in the contract: {found}. Raise PLUGIN_API_VERSION in seqd/hookspecs/model.py to "
        f"{major}.{minor + 1}, unless no release has {major}.{minor}; write the snapshot by `make "
        "reference`; and say in plugins/contract.md what the version adds."
    )


def test_each_version_of_a_major_breaks_no_plugin_of_the_one_before():
    pairs = [(old, new) for old, new in pairwise(snapshots().items()) if old[0][0] == new[0][0]]

    for (_, old), (_, new) in pairs:
        assert breaks(old, new) == []
        assert additions(old, new), "a minor that adds nothing"


def test_the_guide_says_what_each_version_has_added(root):
    guide = (root / "plugins" / "contract.md").read_text(encoding="utf-8")

    for major, minor in snapshots():
        assert f"| {major}.{minor} |" in guide


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"seqd.x.Kind.size": "int = 256"},
            "seqd.x.Kind.size is 'int = 256', and was 'int = 512'. Plugins rely on it.",
        ),
        (
            {"seqd.x.run(text)": None},
            "seqd.x.run(text) is gone, and was 'str'. Plugins may use it: restore it.",
        ),
        (
            {"seqd.x.run(more)": "int"},
            "seqd.x.run(more) is new, and all plugins would have to have it. Give it a default.",
        ),
        (
            {"seqd.x.Kind.bytes": "int"},
            "seqd.x.Kind.bytes is new, and all plugins would have to have it. Give it a default.",
        ),
        (
            {"seqd.x.Kind.stop": "abstract"},
            "seqd.x.Kind.stop is new, and all plugins would have to have it. Give it a default.",
        ),
    ],
)
def test_a_change_that_breaks_plugins_is_told_in_a_sentence(change, sentence):
    new = {path: text for path, text in (OLD | change).items() if text is not None}

    assert breaks(OLD, new) == [sentence]


@pytest.mark.parametrize(
    "change",
    [
        {"seqd.x.run(more)": "int = 1"},
        {"seqd.x.run(text)": "str = ''"},
        {"seqd.x.Kind.stop": "function"},
        {"seqd.x.other": "function", "seqd.x.other(text)": "str"},
    ],
)
def test_an_addition_breaks_no_plugin(change):
    assert breaks(OLD, OLD | change) == []
