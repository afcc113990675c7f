"""`seqd plugins new`: writes a distribution with a plugin that works as it is."""

import keyword
import re
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import options
from seqd.cli.plugins.new_distribution import STYLES, TASKS, Distribution
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest
from seqd.kinds import CLASSIFY
from seqd.validation import MODEL_NAME, did_you_mean, shown

Name = Annotated[
    str,
    typer.Argument(
        help="The name of the plugin and of its model, such as hello.", show_default=False
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="What the model does: classify texts, which is the default, generate texts, or run a "
        "task that the plugin names.",
        show_default=False,
    ),
]
StyleName = Annotated[
    str,
    typer.Option(
        "--style",
        metavar="STYLE",
        help="How it is made: function, which is the default; class, which learns without a "
        "library; keras, torch or sklearn.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Where to write it; without it ./seqd-NAME."),
]


def new_plugin(
    name: Name, task: TaskName = None, style: StyleName = "function", out: Out = None
) -> None:
    """Write a new plugin: a distribution with a model that works, its tests and a README.

    It serves as it is. Needs the extra `author` of seqd.
    """
    _check_name(name)
    wanted = Distribution(
        name,
        _known(task or CLASSIFY, TASKS, "--task"),
        _known(style, STYLES, "--style"),
    )
    _check_pair(wanted)
    _check_not_taken(wanted)
    folder = out or Path(wanted.folder_name)
    wanted.write(folder)
    _print_next(wanted, folder)


def _check_name(name: str) -> None:
    if keyword.iskeyword(name):
        raise InvalidRequest(
            f"The name {name!r} is a keyword of Python. Give another one, such as {name}_texts."
        )
    if not MODEL_NAME.fullmatch(name):
        mended = _mended(name)
        said = f", such as {mended}" if mended else ", such as hello"
        raise InvalidRequest(
            f"The name is {shown(name)}. Allowed: 1 to 40 lower-case letters, digits and "
            f"underscores, a letter first{said}."
        )
    if name.startswith("seqd_"):
        raise InvalidRequest(
            f"The name is {name!r}, and the package gets `seqd_` in front. Give "
            f"{name.removeprefix('seqd_') or 'hello'}."
        )


def _mended(name: str) -> str:
    """Return the allowed name that is nearest; nothing where none is left."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
    mended = re.sub(r"^[0-9_]+", "", plain.removeprefix("seqd_"))[:40].rstrip("_")
    return "" if keyword.iskeyword(mended) else mended


def _known(name: str, known: Mapping[str, object], option: str) -> str:
    if name in known:
        return name
    raise InvalidRequest(
        f"{option} is {shown(name)}; allowed: {', '.join(known)}.{did_you_mean(name, known)}"
    )


def _check_pair(wanted: Distribution) -> None:
    """Refuse a style that has no template for the task."""
    if wanted.task in STYLES[wanted.style].tasks:
        return
    styles = [name for name, style in STYLES.items() if wanted.task in style.tasks]
    raise InvalidRequest(
        f"There is no plugin of --style {wanted.style} for --task {wanted.task}. Styles for it: "
        f"{', '.join(styles)}. Tasks of {wanted.style}: {', '.join(STYLES[wanted.style].tasks)}."
    )


def _check_not_taken(wanted: Distribution) -> None:
    """Refuse a name that a plugin, a model or a package of this Python has."""
    local = options.open_local_models(options.read_settings())
    taken = dict.fromkeys(local.catalog(), "a model in the store here")
    for status in local.registry.statuses:
        taken |= dict.fromkeys(status.models, f"a model of {status.distribution}")
        taken[status.name] = f"a plugin of {status.distribution}"
    if wanted.name in taken:
        raise InvalidRequest(
            f"The name {wanted.name!r} is taken: it is {taken[wanted.name]}. Give another one, "
            f"such as my_{wanted.name}."
        )
    if find_spec(wanted.package) is not None:
        raise InvalidRequest(
            f"The name {wanted.name!r} is taken: this Python has a package {wanted.package}. Give "
            f"another one, such as my_{wanted.name}."
        )


def _print_next(wanted: Distribution, folder: Path) -> None:
    """Print what was written, and the commands that come next, ready to be copied."""
    screen = Screen()
    screen.say(f"Wrote {folder}: the plugin {wanted.name}, {STYLES[wanted.style].says}. Next:")
    screen.say()
    for command in next_commands(wanted, folder):
        screen.say(f"  {command}")


def next_commands(wanted: Distribution, folder: Path) -> list[str]:
    """Return the commands that install the plugin, try it, and follow its changes."""
    task = TASKS[wanted.task]
    tries = f'seqd plugins try {wanted.name} {wanted.task_name} "{task.text}"'
    learns = [f"seqd plugins try {wanted.name} train --data {task.data} --out version"]
    return [
        f"cd {shlex.quote(str(folder))}",
        "pip install -e '.[dev]'",
        *(learns if wanted.learns else []),
        f"{tries} --version version" if wanted.learns else tries,
        "seqd plugins dev .",
    ]
