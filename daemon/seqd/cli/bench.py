"""`seqd bench`: seqd beside what one would pick instead, measured in one run on this machine."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from seqd.bench.report import Report

app = typer.Typer(
    no_args_is_help=True,
    help="Measure seqd beside what one would pick instead, in turn, on this machine. Uses a "
    "daemon of its own in a folder of its own; one that runs is left alone.",
)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder with imdb/train.jsonl.gz, imdb/test-5k.jsonl.gz and nietzsche.txt. Else made-"
        "up texts.",
    ),
]
File = Annotated[
    Path | None, typer.Option("--file", help="File of texts, in place of those of --data.")
]
Slots = Annotated[
    str | None, typer.Option("--slots", help="Serving slots; one CPU slot a core by default.")
]
#: Seconds after which a signal that was lost is raised once more: out of the destructor by then.
_RAISED_AGAIN_S = 0.05

Rounds = Annotated[int, typer.Option("--rounds", min=1, max=100, help="Rounds; sides take turns.")]


@app.command("classify")
def classify(
    data: Data = None,
    file: File = None,
    reviews: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Reviews of the file that all sides take.")
    ] = 5_000,
    large: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Reviews of the larger file; 0: none.")
    ] = 25_000,
    rounds: Rounds = 5,
    slots: Slots = None,
    starter_only: Annotated[
        bool, typer.Option("--starter-only", help="No tutorial network, no peers, no TensorFlow.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Classify reviews, file to file, beside Keras's predict and ONNX Runtime on padded arrays."""
    from seqd.bench.classify import Asked, bench_classify
    from seqd.bench.daemon import serving_slots
    from seqd.bench.texts import TEST_FILE, TRAIN_FILE, file_in, reviews_of

    small_file = file or file_in(data, TEST_FILE)
    large_file = file or file_in(data, TRAIN_FILE)
    asked = Asked(
        reviews=reviews_of(small_file, reviews),
        large=reviews_of(large_file, max(large, reviews, 200), seed=1),
        large_count=large,
        rounds=rounds,
        slots=slots or serving_slots(),
        starter_only=starter_only,
    )
    _run(lambda say: bench_classify(asked, say), as_json=as_json)


@app.command("jobs")
def jobs(
    data: Data = None,
    file: File = None,
    light_jobs: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="One-text jobs of the model of no work.")
    ] = 20_000,
    review_jobs: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="One-review jobs of the shipped classifier.")
    ] = 10_000,
    texts: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Texts of the one large job.")
    ] = 200_000,
    tasks: Annotated[int, typer.Option(min=1, max=100_000, help="Celery's tasks.")] = 2_000,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Client processes.")] = 4,
    window: Annotated[
        int, typer.Option(min=1, max=100_000, help="Jobs that a client has open at a time.")
    ] = 1_000,
    singles: Annotated[
        int, typer.Option(min=1, max=100_000, help="Single jobs, one after the other.")
    ] = 200,
    rounds: Rounds = 5,
    slots: Slots = None,
    as_json: options.Json = False,
) -> None:
    """Run small jobs of one text each beside plain Celery, and time single ones."""
    from seqd.bench.daemon import serving_slots
    from seqd.bench.jobs import Asked, bench_jobs
    from seqd.bench.texts import TEST_FILE, file_in, reviews_of

    asked = Asked(
        reviews=reviews_of(file or file_in(data, TEST_FILE), review_jobs),
        rounds=rounds,
        slots=slots or serving_slots(),
        clients=clients,
        light_jobs=_shared(light_jobs, clients),
        review_jobs=_shared(review_jobs, clients),
        texts=texts,
        tasks=_shared(tasks, clients),
        window=window,
        singles=singles,
    )
    _run(lambda say: bench_jobs(asked, say), as_json=as_json)


@app.command("train")
def train(
    data: Data = None,
    file: File = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="File to validate on; needed with --file.")
    ] = None,
    reviews: Annotated[
        int, typer.Option(min=64, max=1_000_000, help="Reviews to train on.")
    ] = 25_000,
    epochs: Annotated[int, typer.Option(min=2, max=100, help="Epochs of a round.")] = 2,
    rounds: Rounds = 2,
    as_json: options.Json = False,
) -> None:
    """Train the preset `tutorial` beside the tutorial's script, epoch for epoch."""
    from seqd.bench.texts import TEST_FILE, TRAIN_FILE, file_in, labelled_reviews_of
    from seqd.bench.train import Asked, bench_train

    if (file is None) != (held_out is None):
        raise InvalidRequest("--file and --held-out go together; give both, or --data, or neither")
    few = max(16, reviews // 5)
    asked = Asked(
        reviews=labelled_reviews_of(file or file_in(data, TRAIN_FILE), reviews),
        held_out=labelled_reviews_of(held_out or file_in(data, TEST_FILE), few, seed=1),
        rounds=rounds,
        epochs=epochs,
    )
    _run(lambda say: bench_train(asked, say), as_json=as_json)


@app.command("generate")
def generate(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Models, such as char_lstm@3; all starters that write by default."),
    ] = None,
    data: Data = None,
    file: File = None,
    length: Annotated[
        int, typer.Option(min=1, max=10_000, help="Characters of the single stream.")
    ] = 5_000,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Prompts of the batch.")] = 256,
    batch_length: Annotated[
        int, typer.Option(min=1, max=10_000, help="Characters of each prompt of the batch.")
    ] = 1_000,
    loop_length: Annotated[
        int, typer.Option(min=0, max=10_000, help="Characters of the tutorial's loop; 0: none.")
    ] = 40,
    train: Annotated[
        bool,
        typer.Option(
            "--train", help="Also train char_lstm to the tutorial's loss, beside its script."
        ),
    ] = False,
    rounds: Rounds = 5,
    slots: Slots = None,
    as_json: options.Json = False,
) -> None:
    """Fit and write text, one stream and a batch, beside the tutorial's loops.

    With a real text (--data or --file) also bits a character of its last tenth.
    """
    from seqd.bench.daemon import serving_slots
    from seqd.bench.generate import Asked, bench_generate
    from seqd.bench.texts import TEXT_FILE, file_in, running_text

    path = file or file_in(data, TEXT_FILE)
    text, source = running_text(path)
    asked = Asked(
        models=models or ["char_lstm@0", "markov@0", "markov_words@0"],
        text=text,
        source=source,
        is_real=path is not None,
        rounds=rounds,
        slots=slots or serving_slots(),
        length=length,
        batch=batch,
        batch_length=batch_length,
        loop_length=loop_length,
        train=train,
    )
    _run(lambda say: bench_generate(asked, say), as_json=as_json)


@app.command("scale")
def scale(
    data: Data = None,
    file: File = None,
    sizes: Annotated[
        str, typer.Option("--sizes", help="Reviews of each job, ascending, joined by commas.")
    ] = "10000,100000,1000000",
    model: Annotated[str, typer.Option("--model", "-m", help="The model.")] = "imdb_lstm@0",
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", min=0.1, max=1_440, help="No size is begun beyond it.")
    ] = 15.0,
    slots: Slots = None,
    as_json: options.Json = False,
) -> None:
    """Classify ever larger files: does time grow in proportion, and does memory stay flat?"""
    from seqd.bench.daemon import serving_slots
    from seqd.bench.scale import Asked, bench_scale
    from seqd.bench.texts import TRAIN_FILE, file_in, reviews_of

    numbers = read_sizes(sizes)
    asked = Asked(
        reviews=reviews_of(file or file_in(data, TRAIN_FILE), min(25_000, numbers[-1])),
        sizes=numbers,
        model=model,
        slots=slots or serving_slots(),
        max_minutes=max_minutes,
    )
    _run(lambda say: bench_scale(asked, say), as_json=as_json)


@app.command("presets")
def presets(
    train: Annotated[
        Path | None, typer.Option("--train", help="Labelled file to learn from; else --data's.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", help="Labelled file to measure on; else --data's.")
    ] = None,
    data: Data = None,
    model: Annotated[str, typer.Option("--model", help="Model that is trained.")] = "imdb_lstm",
    preset: Annotated[
        list[str] | None, typer.Option("--preset", help="Preset; may be given again. Else all.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Seed; may be given again. Else 1, 2, 3.")
    ] = None,
    slots: Slots = None,
    as_json: options.Json = False,
) -> None:
    """Train each preset with several seeds, and measure the versions on data they have not seen."""
    from seqd.bench.daemon import serving_slots
    from seqd.bench.presets import Asked, bench_presets
    from seqd.bench.texts import TEST_FILE, TRAIN_FILE, file_in
    from seqd.errors import InvalidRequest

    train, test = train or file_in(data, TRAIN_FILE), test or file_in(data, TEST_FILE)
    if train is None or test is None:
        raise InvalidRequest(
            "presets are measured on real data: give --data, or --train FILE and --test FILE"
        )
    asked = Asked(
        model=model,
        presets=tuple(preset or ()),
        seeds=tuple(seed or (1, 2, 3)),
        train=train,
        test=test,
        slots=slots or serving_slots(),
    )
    _run(lambda say: bench_presets(asked, say), as_json=as_json)


@app.command("interactive")
def interactive(
    data: Data = None,
    file: File = None,
    bulk: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Reviews of the bulk job.")
    ] = 1_000_000,
    seconds: Annotated[float, typer.Option(min=0.5, max=3_600, help="How long to measure.")] = 30.0,
    slots: Slots = None,
    as_json: options.Json = False,
) -> None:
    """Classify one review at a time while a bulk job waits: how long does a person wait?"""
    from seqd.bench.daemon import serving_slots
    from seqd.bench.interactive import Asked, bench_interactive
    from seqd.bench.texts import TEST_FILE, file_in, reviews_of

    asked = Asked(
        reviews=reviews_of(file or file_in(data, TEST_FILE), min(5_000, bulk)),
        bulk=bulk,
        seconds=seconds,
        slots=slots or serving_slots(),
    )
    _run(lambda say: bench_interactive(asked, say), as_json=as_json)


def read_sizes(text: str) -> list[int]:
    """Read `--sizes`. Raises InvalidRequest, which shows good ones."""
    parts = [part.strip() for part in text.split(",")]
    sizes = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 8]
    if len(sizes) < len(parts) or sizes != sorted(set(sizes)) or sizes[0] < 1:
        raise InvalidRequest(
            f"--sizes is {text!r}; allowed: whole numbers from 1 to 99,999,999, ascending, joined "
            "by commas, such as 10000,100000"
        )
    return sizes


def _shared(count: int, clients: int) -> int:
    """Give the nearest number, not below `clients`, that the clients can share evenly."""
    return max(1, round(count / clients)) * clients


def _run(bench: "Callable[[Callable[[str], None]], Report]", *, as_json: bool) -> None:
    """Run a bench, what happens told on stderr, and print its report."""
    from seqd.bench.showing import show
    from seqd.cli.rendering.screen import Screen
    from seqd.cli.rendering.tables import print_json

    progress = Screen(to_stderr=True)
    with _ended_by_sigterm():
        report = bench(lambda line: progress.say(f"… {line}", "dim"))
    if as_json:
        print_json(report.as_json())
    else:
        show(report, Screen())


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Take a SIGTERM for what Ctrl-C is: all that was started is ended on the way out.

    What a signal raises is lost when it comes in a destructor, or in a callback of a library's:
    Python reports it as ignored. Then it is raised once more, a moment later.
    """
    lost: list[BaseException] = []

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    def raise_again(number: int, frame: FrameType | None) -> None:
        raise lost.pop()

    def notice(ignored: "sys.UnraisableHookArgs") -> None:
        if isinstance(ignored.exc_value, SystemExit | KeyboardInterrupt):
            lost.append(ignored.exc_value)
            signal.setitimer(signal.ITIMER_REAL, _RAISED_AGAIN_S)
        else:
            sys.__unraisablehook__(ignored)

    before = signal.signal(signal.SIGTERM, leave), signal.signal(signal.SIGALRM, raise_again)
    hook, sys.unraisablehook = sys.unraisablehook, notice
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGALRM, before[1])
