"""The distribution that `seqd plugins new` writes: which files, from which templates.

The templates are package data, rendered by Jinja: no code of theirs runs. Nothing is left half
written: the files come into a folder beside, which is renamed.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from seqd.errors import LibraryMissing, OutputExists, OutputUnwritable
from seqd.kinds import CLASSIFY, GENERATE, KINDS

if TYPE_CHECKING:
    from jinja2 import Environment

#: The task of a plugin's own that a template has: the kind of its jobs.
OWN_TASK: Final = next(name for name, kind in KINDS.items() if kind.task is None)

_SUFFIX: Final = ".jinja"

#: The first version that has `seqd.plugin`.
_LEAST_SEQD: Final = "1.0.0.dev0"


@dataclass(frozen=True, slots=True)
class Task:
    """What the model of a template does."""

    #: The name of its task, by style; "" stands for the other styles.
    names: Mapping[str, str]
    #: What the README and the commands try it with.
    text: str
    #: The file of examples that it learns from, in a style that learns.
    data: str


@dataclass(frozen=True, slots=True)
class Style:
    """How a template is made."""

    #: What it is, for people.
    says: str
    #: Folders of templates, one upon the other.
    layers: tuple[str, ...]
    #: The tasks that there are templates for.
    tasks: tuple[str, ...]
    dependencies: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    #: Modules without types, for mypy.
    untyped: tuple[str, ...] = ()
    library: str = ""

    @property
    def learns(self) -> bool:
        """True where the model is trained before it serves."""
        return "learner" in self.layers


_ALL: Final = (CLASSIFY, GENERATE, OWN_TASK)
_NUMPY: Final = ("numpy>=1.26,<3", "safetensors>=0.5,<1")

TASKS: Final[Mapping[str, Task]] = {
    CLASSIFY: Task({"": CLASSIFY}, "hello there", "examples.jsonl"),
    GENERATE: Task({"": GENERATE}, "The cat", "examples.txt"),
    OWN_TASK: Task(
        {"function": "count", "class": "surprise", "": "embed"}, "hello there", "examples.jsonl"
    ),
}

STYLES: Final[Mapping[str, Style]] = {
    "function": Style("a function, which needs no training", ("function",), _ALL),
    "class": Style("a class that learns, without a library", ("learner", "class"), _ALL),
    "keras": Style(
        "a network in Keras",
        ("learner", "network", "keras"),
        _ALL,
        (*_NUMPY, "keras>=3.12,<4"),
        # Keras runs on TensorFlow, which this brings.
        ("seqd[cpu]",),
        ("keras.*",),
        "Keras",
    ),
    "torch": Style(
        "a network in PyTorch",
        ("learner", "network", "torch"),
        _ALL,
        (*_NUMPY, "torch>=2.4,<3"),
        library="PyTorch",
    ),
    "sklearn": Style(
        "a learner of scikit-learn",
        ("learner", "sklearn"),
        (CLASSIFY, OWN_TASK),
        (*_NUMPY, "scikit-learn>=1.5,<2"),
        untyped=("sklearn.*",),
        library="scikit-learn",
    ),
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution to be written."""

    name: str
    task: str
    style: str

    @property
    def folder_name(self) -> str:
        """The name of its folder: that of the distribution, which no import mistakes for it."""
        return f"seqd-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """The package that it installs."""
        return f"seqd_{self.name}"

    @property
    def learns(self) -> bool:
        """True where the model is trained before it serves."""
        return STYLES[self.style].learns

    @property
    def task_name(self) -> str:
        """The name of the model's task."""
        names = TASKS[self.task].names
        return names.get(self.style, names[""])

    def files(self) -> dict[str, str]:
        """Return the contents by path. Raises LibraryMissing where Jinja is not installed."""
        environment = _environment()
        templates = self._templates(environment)
        values = self._values()
        return {
            path: environment.get_template(template).render(values)
            for path, template in templates.items()
        }

    def _templates(self, environment: "Environment") -> dict[str, str]:
        """Return the templates by the path of what is made of them."""
        folders = ["common"]
        for layer in STYLES[self.style].layers:
            folders += [f"{layer}/any", f"{layer}/{self.task}"]
        return {
            self._path(name.removeprefix(f"{folder}/")): name
            for folder in folders
            for name in environment.list_templates()
            if name.startswith(f"{folder}/")
        }

    def _path(self, inside: str) -> str:
        first, *rest = PurePosixPath(inside.removesuffix(_SUFFIX)).parts
        named = {"package": self.package, "gitignore": ".gitignore"}
        return "/".join([named.get(first, first), *rest])

    def _values(self) -> dict[str, object]:
        style, task = STYLES[self.style], TASKS[self.task]
        summary = _SUMMARIES[self.task, "" if style.library else self.style]
        return {
            "name": self.name,
            "package": self.package,
            "distribution": self.folder_name,
            "title": "".join(part.capitalize() for part in self.name.split("_")),
            "summary": summary.format(library=style.library),
            "style": self.style,
            "library": style.library,
            "learns": style.learns,
            "kind": self.task,
            "task": self.task_name,
            "text": task.text,
            "data": task.data,
            "serve": self.serve_command(),
            "dependencies": [f"seqd>={_LEAST_SEQD},<2", *style.dependencies],
            "dev": ["mypy>=1.14,<3", "pytest>=8.3,<10", *style.dev],
            "untyped": ", ".join(f'"{one}"' for one in style.untyped),
            "rate": 1.0 if self.task != OWN_TASK else 5.0,
        }

    def serve_command(self) -> str:
        """Return a command that has a daemon run the model's task once."""
        text = TASKS[self.task].text
        if self.task == CLASSIFY:
            return f'seqd {CLASSIFY} --model {self.name} --text "{text}"'
        if self.task == GENERATE:
            return f'seqd {GENERATE} {self.name} "{text}"'
        return f'seqd {OWN_TASK} {self.name} {self.task_name} --text "{text}"'

    def write(self, folder: Path) -> None:
        """Write all files into a folder that is not there yet, or empty.

        Raises OutputExists for one that is not, OutputUnwritable where it cannot be written; then
        nothing is left of it.
        """
        folder = _resolved(folder)
        _check_free(folder)
        files = self.files()
        is_there = folder.is_dir()
        drafts = (folder if is_there else folder.parent) / f".seqd-new-{os.getpid()}"
        try:
            for path, content in files.items():
                target = drafts / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
            if is_there:
                for written in drafts.iterdir():
                    written.rename(folder / written.name)
            else:
                drafts.rename(folder)
        except OSError as error:
            raise OutputUnwritable(
                f"{folder} cannot be written: {error.strerror}. Give another folder with --out."
            ) from None
        finally:
            shutil.rmtree(drafts, ignore_errors=True)


#: What the model does, by task and style; "" stands for the styles of a library.
_SUMMARIES: Final[Mapping[tuple[str, str], str]] = {
    (CLASSIFY, "function"): "Tells greetings from other texts.",
    (CLASSIFY, "class"): "Classifies texts by their words, learnt by naive Bayes.",
    (CLASSIFY, ""): "Classifies texts by their words, with {library}.",
    (GENERATE, "function"): "Continues texts with words about cats.",
    (GENERATE, "class"): "Continues texts word by word, by a Markov chain.",
    (GENERATE, ""): "Continues texts by characters, with {library}.",
    (OWN_TASK, "function"): "Counts the words and sentences of texts.",
    (OWN_TASK, "class"): "Scores how unusual the words of texts are.",
    (OWN_TASK, ""): "Embeds texts by their words, with {library}.",
}


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise LibraryMissing(
            f"`seqd plugins new` needs Jinja, which cannot be imported ({error}). Install it: "
            "pip install 'seqd[author]'"
        ) from error
    return Environment(
        loader=PackageLoader("seqd.cli.plugins"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  it is Python and Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _resolved(folder: Path) -> Path:
    try:
        return folder.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputUnwritable(
            f"{str(folder)!r} is no path of a folder: {error}. Give another one with --out."
        ) from None


def _check_free(folder: Path) -> None:
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            return
        is_there = folder.exists()
    except OSError as error:
        raise OutputUnwritable(
            f"{folder} cannot be read: {error.strerror}. Give another folder with --out."
        ) from None
    if is_there:
        what = "is not empty" if folder.is_dir() else "is a file"
        raise OutputExists(f"{folder} {what}. Give another folder with --out, or move it away.")
    if not folder.parent.is_dir():
        raise OutputUnwritable(
            f"There is no folder {folder.parent}. Make it, or give another one with --out."
        )
