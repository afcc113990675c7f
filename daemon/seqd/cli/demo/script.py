"""The demo, step by step: classify, train, generate; each with the command that does the same.

It runs a Redis server and workers of its own, as `seqd up` does, in a folder that is removed at the
end; on a Redis that SEQD_REDIS_URL names it uses key names of its own, and removes these. Progress
and results look as those of the commands do. A step that fails ends the demo with that step's
error, and so with its exit status.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from seqd.cli.bulk import Output, follow_bulk_job
from seqd.cli.daemon import Daemon
from seqd.cli.demo.sample_data import Review, compose_reviews, compose_text
from seqd.cli.exits import MISTAKE
from seqd.cli.output_options import OutputOptions, opened_output
from seqd.cli.sources import feed_of
from seqd.cli.train import follow_training
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.summary import ResultCounts
from seqd.cli.ui.texts import GenerationPrinter
from seqd.client import Client
from seqd.errors import InvalidSettings, RedisUnreachable, WorkersNotReady
from seqd.kinds import CLASSIFY
from seqd.ledger import connect
from seqd.ledger.redis import redis_errors
from seqd.local.child import last_lines
from seqd.local.pinning import slots_here
from seqd.local.redis_access import RedisAccess
from seqd.local.redis_server import running_server
from seqd.local.slots import Slot
from seqd.local.supervisor import Change, WorkerChange
from seqd.masking import without_password
from seqd.settings import Settings, load_settings
from seqd.views.numbers import count, duration
from seqd_schemas import Classification, FileFormat, FileSource, ItemSuccess, ParameterValue

REVIEWS = 10_000
TEXT_CHARS = 60_000
#: What the model is called that the demo makes.
NEW_MODEL = "harbour"
#: A network that spells after two epochs and makes sentences after five, of a second each.
PRESET = "fast"
TRAINING: dict[str, ParameterValue] = {
    "epochs": 5,
    "units": 128,
    "batch_size": 16,
    "steps": 32,
    "sample_length": 120,
    "sample_temperatures": [0.5],
}
#: Characters of a review that are shown; with the indentation they fit into 80 columns.
_LINE_CHARS = 72

PROMPTS = (
    ("markov", "the ", {"length": 160, "seed": 1}),
    ("markov_words", "", {"samples": 3, "seed": 1}),
    ("char_lstm", "there is nothing so ", {"length": 240, "temperature": 0.5, "seed": 1}),
    (NEW_MODEL, "in the morning the ", {"length": 160, "temperature": 0.5, "seed": 1}),
)

#: A worker has 30 s for its unit once it is to stop; then it is killed.
_STOP_TIMEOUT_S = 45.0

#: Workers import the plugins and nothing heavier, which takes seconds. At a load of 30 on two
#: processors it took 223 s.
_LIMIT_S = 900.0
#: The same where one of them has died, which another follows.
_DEATH_LIMIT_S = 90.0
_SAY_AFTER_S = 20.0
_POLL_S = 0.05
_LOG_LINES = 8


def run_demo(
    settings: Settings | None = None, *, reviews: int = REVIEWS, text_chars: int = TEXT_CHARS
) -> int:
    """Run the whole demo and return its exit status."""
    began_s = time.monotonic()
    screen = Screen()
    screen.say("seqd: bulk classification, training and generation on this machine.", "bold")
    given = settings or load_settings()
    with open_environment(given) as environment:
        _introduce(screen, environment)
        status = _classify(screen, environment, list(compose_reviews(reviews)))
        _train(screen, environment, compose_text(text_chars))
        _generate(screen, environment)
    _say_goodbye(screen, time.monotonic() - began_s, f"{given.gateway_url}/")
    return status


@dataclass(frozen=True, slots=True)
class Environment:
    """A daemon that runs, a client of it, and a folder for the demo's files."""

    client: Client
    url: str
    folder: Path
    slots: tuple[Slot, ...]
    seconds_to_ready: float


@contextmanager
def open_environment(settings: Settings) -> Iterator[Environment]:
    """Run a daemon for the time of a `with` block; nothing of it is left afterwards.

    Raises RedisUnreachable or RedisRefused for a server that is given and does not answer,
    and what `Startup` does when the workers do not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="seqd-demo-", ignore_cleanup_errors=True) as name:
        own = _own_settings(settings, Path(name))
        with running_server(own) as server, _removing_keys(own, server.url):
            yield from _with_workers(own, server.url, Path(name))


def _introduce(screen: Screen, environment: Environment) -> None:
    _command(screen, "seqd up")
    screen.say(f"  Redis    {without_password(environment.url)}")
    screen.say(f"  Workers  {', '.join(slot.name for slot in environment.slots)}")
    screen.say(f"  Folder   {environment.folder}, removed at the end")
    screen.say(f"  Ready after {environment.seconds_to_ready:.1f} s.")


def _classify(screen: Screen, environment: Environment, reviews: Sequence[Review]) -> int:
    path = _write(environment.folder / "reviews.jsonl", reviews)
    out = environment.folder / "results.jsonl"
    _heading(
        screen,
        f"1. Bulk classification: {count(len(reviews))} labelled film reviews, composed for this "
        "demo with mixed opinions",
    )
    _command(screen, "seqd classify reviews.jsonl", "--out results.jsonl")
    with (
        feed_of(str(path), (), {}, label_field="label") as feed,
        opened_output(
            OutputOptions(out=out, force=True), CLASSIFY, feed=feed, source=str(path)
        ) as files,
    ):
        handle = environment.client.classify(feed, model="imdb_lstm")
        output = Output(files, lambda result: None)
        counts = ResultCounts(feed.labels)
        status = follow_bulk_job(handle, screen, output, counts)
    if counts.succeeded + counts.errored != len(reviews):
        screen.say(
            f"Of {len(reviews)} reviews {counts.succeeded + counts.errored} came back.", "red"
        )
        return MISTAKE
    _show_a_few(screen, out, reviews)
    return status


def _show_a_few(screen: Screen, results: Path, reviews: Sequence[Review]) -> None:
    """Show the first review that was right, and the first that was not."""
    shown: set[bool] = set()
    with results.open(encoding="utf-8") as lines:
        for line, review in zip(lines, reviews, strict=False):
            output = ItemSuccess.model_validate_json(line).output
            assert isinstance(output, Classification), "a classify job has no other outputs"
            is_right = output.label == review.label
            if is_right not in shown:
                shown.add(is_right)
                verdict = "right" if is_right else f"wrong, it is {review.label}"
                screen.say(f"  {output.label} {output.score:.2f}, {verdict}:")
                screen.say(f"    {_end_of(review.text)}")
            if len(shown) == 2:
                return


def _end_of(text: str) -> str:
    """Return the last sentences of a text, as many as fit into a line."""
    first = max(0, len(text) - _LINE_CHARS)
    start = text.find(". ", first - 2)
    return f"… {text[start + 2 :]}" if first and start >= 0 else text[-_LINE_CHARS:]


def _train(screen: Screen, environment: Environment, text: str) -> None:
    path = environment.folder / "harbour.txt"
    path.write_text(text, encoding="utf-8")
    _heading(
        screen,
        f"2. Training: an LSTM learns to write, from {count(len(text))} characters of a text "
        "composed for this demo",
    )
    texts = {name: json.dumps(value, separators=(",", ":")) for name, value in TRAINING.items()}
    chosen = [f"--set {name}={text}" for name, text in texts.items()]
    command = f"seqd train char_lstm --as {NEW_MODEL} --preset {PRESET}"
    _command(screen, command, "--data harbour.txt", *chosen)
    source = FileSource(path=str(path), format=FileFormat.LINES)
    handle = environment.client.train(
        source, model=NEW_MODEL, plugin="char_lstm", preset=PRESET, parameters=TRAINING
    )
    follow_training(environment.client, handle, screen, says_what_next=False)


def _generate(screen: Screen, environment: Environment) -> None:
    _heading(screen, "3. Generation: the starter models, and the one trained just now")
    for model, prompt, parameters in PROMPTS:
        options = [f"--{name} {value}" for name, value in parameters.items()]
        quoted = [f'"{prompt}"'] if prompt else []
        _command(screen, f"seqd generate {model}", *quoted, *options)
        handle = environment.client.generate([prompt], model=model, parameters=parameters)
        printer = GenerationPrinter(screen)
        for result in handle.results():
            printer.show(result)
        handle.wait()


def _say_goodbye(screen: Screen, seconds: float, console_url: str) -> None:
    _heading(screen, f"Done in {duration(seconds)}. To go on, in one terminal:")
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
    screen.say("To watch and act in a browser:", "bold")
    _say_commands(screen, f"seqd up --gateway    # then open {console_url}")


def _say_commands(screen: Screen, *commands: str) -> None:
    for command in commands:
        screen.say(f"  {command}", "cyan")


def _activation() -> tuple[str, ...]:
    """Return the command that puts `seqd` on the PATH, where it is not there yet."""
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("seqd") is not None or not activate.exists():
        return ()
    return (f"source {os.path.relpath(activate)}",)


def _write(path: Path, reviews: Sequence[Review]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for review in reviews:
            file.write(json.dumps(review._asdict()) + "\n")
    return path


def _heading(screen: Screen, text: str) -> None:
    screen.say()
    screen.say(text, "bold")


def _command(screen: Screen, *parts: str) -> None:
    """Print a command; where it is too long it goes on in the next line, as a shell takes it."""
    line = "$"
    for part in parts:
        if len(line) + len(part) + len(" \\") > screen.console.width - 1:
            screen.say(f"{line} \\", "cyan")
            line = "   "
        line += f" {part}"
    screen.say(line, "cyan")


def _with_workers(settings: Settings, url: str, folder: Path) -> Iterator[Environment]:
    slots = slots_here(settings.slots)
    startup = Startup(slots, Screen(to_stderr=True).say)
    began_s = time.monotonic()
    daemon = Daemon(settings, url, slots, startup.update)
    # Not a daemon thread: the workers would be killed with it, not stopped.
    thread = Thread(target=daemon.run, name="seqd-supervisor")
    thread.start()
    try:
        startup.wait_until_ready(thread)
        with Client(url, settings=settings) as client:
            yield Environment(client, url, folder, slots, time.monotonic() - began_s)
    finally:
        daemon.stop()
        thread.join(_STOP_TIMEOUT_S)


def _own_settings(settings: Settings, folder: Path) -> Settings:
    own: dict[str, object] = {"data_dir": folder, "input_roots": (folder,), "redis_port": 0}
    if settings.redis_url is not None:
        own["prefix"] = f"seqd-demo-{secrets.token_hex(4)}"
    # Also marks them as set, so that the workers get them.
    return settings.model_copy(update=own)


@contextmanager
def _removing_keys(settings: Settings, url: str) -> Iterator[None]:
    """Raise where the server does not answer; at the end remove the demo's keys from it."""
    with connect(url, retries=1, access=RedisAccess.of(settings)) as redis:
        with redis_errors(redis):
            redis.ping()
        try:
            yield
        finally:
            # Where the server has gone by now, what led here is the error to report.
            with suppress(RedisUnreachable), redis_errors(redis):
                for key in redis.scan_iter(match=f"{settings.prefix}:*", count=1_000):
                    redis.unlink(key)


class Startup:
    """The workers that a supervisor starts, until each has been reported ready."""

    def __init__(
        self,
        slots: Sequence[Slot],
        say: Callable[[str], None],
        *,
        limit_s: float = _LIMIT_S,
        say_after_s: float = _SAY_AFTER_S,
    ) -> None:
        """`say` gets a sentence when they take long."""
        self._missing = {slot.name for slot in slots}
        self._say = say
        self._limit_s, self._say_after_s = limit_s, say_after_s
        self._ready = Event()
        self._fault = ""
        self._has_given_up = False
        self._logs: Path | None = None

    def update(self, change: WorkerChange) -> None:
        """Note a change; runs in the supervisor's thread."""
        self._logs = change.log.parent
        if change.change is Change.READY:
            self._missing.discard(change.slot)
        elif change.change in (Change.GAVE_UP, Change.DIED, Change.LOST):
            end = "\n".join(last_lines(change.log, _LOG_LINES))
            self._fault = f" The one on {change.slot} {change.change}. Its log ends with:\n{end}\n"
            self._has_given_up |= change.change is Change.GAVE_UP
        if not self._missing:
            self._ready.set()

    def wait_until_ready(self, supervisor: Thread) -> None:
        """Return once every slot's worker is ready.

        Raises InvalidSettings where one has given up, WorkersNotReady after `limit_s`, sooner where
        one has died; their logs are kept.
        """
        began_s, is_told = time.monotonic(), False
        while not self._ready.wait(_POLL_S):
            waited_s = time.monotonic() - began_s
            limit_s = min(self._limit_s, _DEATH_LIMIT_S) if self._fault else self._limit_s
            if self._has_given_up or not supervisor.is_alive() or waited_s > limit_s:
                raise self._failed(waited_s)
            if waited_s > self._say_after_s and not is_told:
                is_told = True
                self._say(
                    f"The workers on {self._named()} are still starting after {waited_s:.0f} s; "
                    f"{_load()}. They are waited for, up to {self._limit_s:.0f} s."
                )

    def _failed(self, waited_s: float) -> InvalidSettings | WorkersNotReady:
        kept = tempfile.mkdtemp(prefix="seqd-demo-logs-")
        if self._logs is not None:
            shutil.copytree(self._logs, kept, dirs_exist_ok=True)
        said = (
            f"the workers on {self._named()} did not get ready within {waited_s:.0f} s; {_load()}."
            f"{self._fault} Their logs are kept in {kept}."
        )
        if self._has_given_up:
            return InvalidSettings(said)
        return WorkersNotReady(
            f"{said} Try again when the machine is less busy, or with one worker: SEQD_SLOTS=cpu:0."
        )

    def _named(self) -> str:
        return ", ".join(sorted(self._missing))


def _load() -> str:
    return f"the load of this machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
