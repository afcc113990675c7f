"""The demo: `seqd up`, then one command after the other, each as it is printed.

All of it is in a folder that is removed at the end; on a Redis that SEQD_REDIS_URL names it has key
names of its own, and removes these. A command that fails ends the demo with its exit status.
"""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from seqd.cli.demo.sample_data import Review, compose_reviews, compose_text
from seqd.cli.exits import OK
from seqd.cli.ui.numbers import count, duration
from seqd.cli.ui.screen import Screen
from seqd.errors import RedisUnreachable, WorkersNotReady
from seqd.ledger import connect
from seqd.ledger.redis import redis_errors
from seqd.local.parent_death import launch_command
from seqd.local.redis_access import RedisAccess
from seqd.local.supervisor import Change
from seqd.settings import Settings, load_settings
from seqd_schemas import Classification, ItemSuccess

REVIEWS = 10_000
TEXT_CHARS = 60_000

_SEQD = (sys.executable, "-m", "seqd")

#: A network that spells after two epochs and makes sentences after five, of a second each.
_TRAINING = (
    *("seqd train char_lstm --as harbour --preset fast", "--data harbour.txt"),
    *("--set epochs=5", "--set units=128", "--set batch_size=16", "--set steps=32"),
    *("--set sample_length=120", "--set sample_temperatures=[0.5]"),
)
_GENERATIONS = (
    ("seqd generate markov", '"the "', "--length 160", "--seed 1"),
    ("seqd generate markov_words", "--samples 3", "--seed 1"),
    *(
        (f"seqd generate {model}", f'"{prompt}"', f"--length {length}", "-t 0.5", "--seed 1")
        for model, prompt, length in (
            ("char_lstm", "there is nothing so ", 240),
            ("harbour", "in the morning the ", 160),
        )
    ),
)

#: Characters of a review that are shown; with the indentation they fit into 80 columns.
_LINE_CHARS = 72

#: Workers import the plugins and nothing heavier, which takes seconds. At a load of 30 on two
#: processors it took 223 s.
_READY_S = 900.0

#: A worker has 30 s for its unit once it is to stop; then it is killed.
_STOP_S = 45.0


def run_demo(*, reviews: int = REVIEWS, text_chars: int = TEXT_CHARS) -> int:
    """Run the whole demo and return its exit status.

    Raises RedisUnreachable or RedisRefused for a server that is named and does not answer, and
    WorkersNotReady.
    """
    began_s, screen, settings = time.monotonic(), Screen(), load_settings()
    screen.say("seqd: bulk classification, training and generation on this machine.", "bold")
    with tempfile.TemporaryDirectory(prefix="seqd-demo-", ignore_cleanup_errors=True) as name:
        demo = _Demo(screen, Path(name), _variables(settings, Path(name)))
        screen.say(f"Its folder is {name}, removed at the end.")
        with _removing_keys(settings, demo.variables), _daemon(demo) as ended:
            status = (
                ended
                or _classify(demo, list(compose_reviews(reviews)))
                or _train(demo, compose_text(text_chars))
                or _generate(demo)
            )
    if status == OK:
        _say_goodbye(screen, time.monotonic() - began_s)
    return status


@dataclass(frozen=True, slots=True)
class _Demo:
    """Where commands of the demo run, and with which variables."""

    screen: Screen
    folder: Path
    variables: Mapping[str, str]

    def run(self, *parts: str) -> int:
        """Print a command and run it; return its exit status."""
        self.say(*parts)
        program, *arguments = shlex.split(" ".join(parts))
        assert program == "seqd"
        return subprocess.run(  # noqa: S603 (our own commands, no shell)
            [*_SEQD, *arguments], env=self.variables, cwd=self.folder, check=False
        ).returncode

    def say(self, *parts: str) -> None:
        """Print a command; one that is too long goes on in the next line, as a shell takes it."""
        line = "$"
        for part in parts:
            if len(line) + len(part) + len(" \\") > self.screen.console.width - 1:
                self.screen.say(f"{line} \\", "cyan")
                line = "   "
            line += f" {part}"
        self.screen.say(line, "cyan")

    def heading(self, text: str) -> None:
        """Print what comes next."""
        self.screen.say()
        self.screen.say(text, "bold")


def _variables(settings: Settings, folder: Path) -> dict[str, str]:
    own = {"SEQD_DATA_DIR": str(folder), "SEQD_INPUT_ROOTS": str(folder), "SEQD_REDIS_PORT": "0"}
    if settings.redis_url is not None:
        own["SEQD_PREFIX"] = f"seqd-demo-{secrets.token_hex(4)}"
    return {**os.environ, **own}


@contextmanager
def _daemon(demo: _Demo) -> Iterator[int]:
    """Run `seqd up` for the time of a `with` block; yields its exit status where it has ended."""
    demo.say("seqd up")
    with subprocess.Popen(  # noqa: S603
        launch_command([*_SEQD, "up"]),
        env=demo.variables,
        cwd=demo.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that Ctrl-C ends the command that runs, and then all
    ) as up:
        try:
            yield _status_once_ready(demo, up)
        finally:
            up.terminate()
            with suppress(subprocess.TimeoutExpired):
                up.wait(_STOP_S)
            up.kill()


def _status_once_ready(demo: _Demo, up: "subprocess.Popen[str]") -> int:
    """Show what `seqd up` says until it is ready; return its status where it ends instead.

    Raises WorkersNotReady where a worker has given up, or the time is over.
    """
    assert up.stdout is not None
    over = Timer(_READY_S, up.terminate)
    over.daemon = True
    over.start()
    for line in up.stdout:
        demo.screen.say(f"  {line.rstrip()}")
        if line.startswith("Ready after "):
            over.cancel()
            return OK  # the rest, which nobody reads, has room in the pipe
        if line.split()[1:2] == [Change.GAVE_UP]:
            raise WorkersNotReady("A worker has given up; its last line above says why.")
    if over.finished.is_set():
        raise WorkersNotReady(
            f"The workers did not get ready within {_READY_S:g} s; the load of this machine is "
            f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors. Try again when it is less "
            "busy, or with one worker: SEQD_SLOTS=cpu:0."
        )
    over.cancel()
    return up.wait()


@contextmanager
def _removing_keys(settings: Settings, variables: Mapping[str, str]) -> Iterator[None]:
    """Raise where a server that is named does not answer; at the end remove the demo's keys."""
    if settings.redis_url is None:
        yield
        return
    with connect(settings.redis_url, retries=1, access=RedisAccess.of(settings)) as redis:
        with redis_errors(redis):
            redis.ping()
        try:
            yield
        finally:
            # Where the server has gone by now, what led here is what is reported.
            with suppress(RedisUnreachable), redis_errors(redis):
                for key in redis.scan_iter(match=f"{variables['SEQD_PREFIX']}:*", count=1_000):
                    redis.unlink(key)


def _classify(demo: _Demo, reviews: Sequence[Review]) -> int:
    lines = (json.dumps(review._asdict()) + "\n" for review in reviews)
    (demo.folder / "reviews.jsonl").write_text("".join(lines), encoding="utf-8")
    demo.heading(
        f"1. Bulk classification: {count(len(reviews))} labelled film reviews, composed for this "
        "demo with mixed opinions"
    )
    status = demo.run("seqd classify reviews.jsonl", "--out results.jsonl")
    if status == OK:
        _show_a_few(demo, reviews)
    return status


def _show_a_few(demo: _Demo, reviews: Sequence[Review]) -> None:
    """Show the first review that was right, and the first that was not."""
    shown: set[bool] = set()
    with (demo.folder / "results.jsonl").open(encoding="utf-8") as lines:
        for line, review in zip(lines, reviews, strict=False):
            output = ItemSuccess.model_validate_json(line).output
            assert isinstance(output, Classification), "a classify job has no other outputs"
            is_right = output.label == review.label
            if is_right not in shown:
                shown.add(is_right)
                verdict = "right" if is_right else f"wrong, it is {review.label}"
                demo.screen.say(f"  {output.label} {output.score:.2f}, {verdict}:")
                demo.screen.say(f"    {_end_of(review.text)}")
            if len(shown) == 2:
                return


def _end_of(text: str) -> str:
    """Return the last sentences of a text, as many as fit into a line."""
    first = max(0, len(text) - _LINE_CHARS)
    start = text.find(". ", first - 2)
    return f"… {text[start + 2 :]}" if first and start >= 0 else text[-_LINE_CHARS:]


def _train(demo: _Demo, text: str) -> int:
    (demo.folder / "harbour.txt").write_text(text, encoding="utf-8")
    demo.heading(
        f"2. Training: an LSTM learns to write, from {count(len(text))} characters of a text "
        "composed for this demo"
    )
    return demo.run(*_TRAINING)


def _generate(demo: _Demo) -> int:
    demo.heading("3. Generation: the starter models, and the one trained just now")
    return next(filter(None, (demo.run(*parts) for parts in _GENERATIONS)), OK)


def _say_goodbye(screen: Screen, seconds: float) -> None:
    screen.say()
    screen.say(f"Done in {duration(seconds)}. To go on, in one terminal:", "bold")
    _say_commands(screen, *_activation(), "seqd up")
    screen.say("and in another:", "bold")
    _say_commands(
        screen,
        *_activation(),
        'seqd classify --text "A film to remember, if only for the music."',
        "seqd train markov --as mine --data a-text-of-yours.txt",
        'seqd generate char_lstm "once upon a time " -t 0.2 -t 0.5 -t 1.0',
        "seqd status",
    )


def _say_commands(screen: Screen, *commands: str) -> None:
    for command in commands:
        screen.say(f"  {command}", "cyan")


def _activation() -> tuple[str, ...]:
    """Return the command that puts `seqd` on the PATH, where it is not there yet."""
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("seqd") is not None or not activate.exists():
        return ()
    return (f"source {os.path.relpath(activate)}",)
