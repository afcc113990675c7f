"""What the operators' guide shows can be typed so: commands, options, files, variables."""

import re
import shlex
from itertools import chain
from pathlib import Path

import yaml

from deploy_files import DOCKER, ROOT, documents, unknown_in
from readme_blocks import OPERATORS_GUIDE, blocks_of
from seqd.settings import Settings

#: Pages that show commands: blocks of no language, or of `sh`, which other tests also run.
PAGES = [page for page in OPERATORS_GUIDE if blocks_of(page, "")]

#: Programs that are not ours, and with which a line may begin.
OTHERS = {
    "celery",
    "docker",
    "install",
    "kubectl",
    "pip",
    "prometheus",
    "promtool",
    "python3",
    "systemctl",
}

#: Words of the shell.
SHELL = {"for", "done"}


def lines_of(page: Path) -> list[list[str]]:
    """Return each line of the page's blocks as words, without comments and variables."""
    lines = []
    for block in blocks_of(page, ""):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and words[0] not in SHELL:
                lines.append(words)
    return lines


def test_the_pages_that_show_commands_are_found() -> None:
    names = {page.stem for page in PAGES}

    assert names >= {"README", "compose", "kubernetes", "systemd", "probes", "up", "workers", "tls"}


def test_each_line_calls_what_there_is() -> None:
    lines = {page: lines_of(page) for page in PAGES}

    assert all(lines.values())
    for words in chain.from_iterable(lines.values()):
        if words[0].removeprefix("/opt/seqd/bin/") == "seqd":
            assert unknown_in(words[1:]) == set(), words
        elif words[:2] == ["docker", "compose"]:
            check_compose(words[2:])
        elif words[0] == "export":
            name = words[1].partition("=")[0].removeprefix("SEQD_").lower()
            assert name in Settings.model_fields, words
        elif words[0] == "make":
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), words
        else:
            assert words[0] in OTHERS or (ROOT / words[0]).is_file(), words


def test_each_file_of_ours_that_is_named_is_there() -> None:
    named = re.compile(r"\bdocker/(?!secrets|input)[\w./*@-]*[\w*]")

    missing = [
        (page.name, path)
        for page in OPERATORS_GUIDE
        for path in named.findall(page.read_text(encoding="utf-8"))
        if not list(ROOT.glob(path))
    ]
    assert missing == []


def test_each_variable_of_the_compose_files_is_explained() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCKER.glob("compose*.yaml"))
    explained = (DOCKER / "compose.md").read_text(encoding="utf-8")

    names = set(re.findall(r"\$\{(STACK_\w+)", text))
    by_kind = re.compile(r"STACK_(TRAINER|GPU)_(CPUS|MEMORY)")  # told in one row with WORKER
    missing = [name for name in names if f"`{name}`" not in explained and not by_kind.match(name)]
    assert missing == []
    for name, default in re.findall(r"\$\{(STACK_\w+):-([^}]+)\}", text):
        if not by_kind.match(name) and (name, default) != ("STACK_WORKERS", "0"):
            assert default in explained, name


def test_the_scaled_object_of_the_guide_is_that_of_the_files() -> None:
    (block,) = blocks_of(DOCKER / "scaling.md", "text")
    told = yaml.safe_load(block.text)
    (scaled,) = documents(DOCKER / "k8s" / "components" / "keda" / "scaledobject.yaml")
    made = scaled["spec"]

    triggers = zip(told.pop("triggers"), made["triggers"], strict=True)

    assert told == {name: made[name] for name in told}
    for one, other in triggers:
        assert one["type"] == other["type"]
        assert one["metadata"] == {name: other["metadata"][name] for name in one["metadata"]}


def check_compose(words: list[str]) -> None:
    """Check the files, the service, and what is called in it."""
    files = [words[at + 1] for at, word in enumerate(words) if word == "-f"]
    assert files and all((ROOT / file).is_file() for file in files), words
    known = {name for file in files for name in documents(ROOT / file)[0]["services"]}
    if "run" in words:
        at = next(at for at, word in enumerate(words) if word in known)
        assert unknown_in(words[at + 1 :]) == set(), words
    for scaled in re.findall(r"--scale (\w+)=", " ".join(words)):
        assert scaled in known, words
