"""What the operators' guide shows of probes, Compose, Kubernetes and systemd can be typed so."""

import re
import shlex

import pytest

from deploy_files import DOCKER, ROOT, documents, unknown_in

SECTIONS = ("Probes", "Compose", "Kubernetes", "systemd")

#: Programs that are not ours, and with which a line may begin.
OTHERS = {"docker", "kubectl", "install", "systemctl", "python3"}


def section(title: str) -> str:
    guide = (DOCKER / "README.md").read_text(encoding="utf-8")
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", guide, re.M | re.S)
    assert match is not None, f"docker/README.md has no section {title}"
    return match[1]


def lines_of(title: str) -> list[list[str]]:
    """Return each line of the section's blocks as words, without comments and variables."""
    lines = []
    for block in re.findall(r"^```\n(.*?)^```$", section(title), re.M | re.S):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                lines.append(words)
    return lines


@pytest.mark.parametrize("title", SECTIONS)
def test_each_line_calls_what_there_is(title: str) -> None:
    lines = lines_of(title)

    assert lines
    for words in lines:
        if words[0] == "seqd":
            assert unknown_in(words[1:]) == set(), words
        elif words[:2] == ["docker", "compose"]:
            check_compose(words[2:])
        else:
            assert words[0] in OTHERS or (ROOT / words[0]).is_file(), words


@pytest.mark.parametrize("title", SECTIONS)
def test_each_file_of_ours_that_is_named_is_there(title: str) -> None:
    text = section(title)
    named = re.findall(r"\bdocker/(?!secrets)[\w./*@-]*[\w*]", text)

    missing = [path for path in named if not list(ROOT.glob(path))]
    assert missing == []


def test_each_variable_of_the_compose_files_is_explained() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCKER.glob("compose*.yaml"))
    explained = section("Compose")

    names = set(re.findall(r"\$\{(STACK_\w+)", text))
    by_kind = re.compile(r"STACK_(TRAINER|GPU)_(CPUS|MEMORY)")  # told in one row with WORKER
    missing = [name for name in names if f"`{name}`" not in explained and not by_kind.match(name)]
    assert missing == []
    for name, default in re.findall(r"\$\{(STACK_\w+):-([^}]+)\}", text):
        if not by_kind.match(name) and (name, default) != ("STACK_WORKERS", "0"):
            assert default in explained, name


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
