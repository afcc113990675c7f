"""`seqd bench`, each command once and small: it prints its report and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli_builders import Ended, clean_environment
from seqd.bench.usage import descendants_of, is_counted
from seqd.demo.reviews import compose_reviews
from seqd.demo.text import compose_text
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

#: Far beyond what any of these takes on a busy machine, one apart.
COMMAND_S = 100.0


class Place:
    """A folder in which a bench makes its own, and what is left in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        # A server that nobody runs: a bench must not look at it.
        elsewhere = {"SEQD_REDIS_URL": "redis://127.0.0.1:1/0", "SEQD_PREFIX": "elsewhere"}
        return subprocess.Popen(
            [sys.executable, "-m", "seqd", "bench", *arguments],
            env=clean_environment(TMPDIR=str(self.folder / "tmp"), **elsewhere),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def bench(self, *arguments: str, timeout_s: float = COMMAND_S) -> Ended:
        program = self.start(*arguments)
        try:
            out, err = program.communicate(timeout=timeout_s)
        finally:
            if program.poll() is None:
                end(program)
        return Ended(program.returncode, out, err)

    def report(self, *arguments: str, timeout_s: float = COMMAND_S) -> dict:
        ended = self.bench(*arguments, "--json", timeout_s=timeout_s)
        assert ended.status == 0, ended.err
        assert self.left() == []
        return json.loads(ended.out)

    def left(self) -> list[str]:
        """Name what is left: folders of a bench, and processes that were started in one."""
        # Libraries may leave notes of their own: ONNX Runtime writes a file `.ses`.
        folders = [path.name for path in (self.folder / "tmp").glob("seqd*")]
        return folders + [command for command in _commands() if str(self.folder / "tmp") in command]


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def end(program: "subprocess.Popen[str]") -> None:
    program.terminate()
    program.communicate(timeout=COMMAND_S)


def _commands() -> list[str]:
    """Give the environments of this user's processes, in which a bench's folder shows."""
    if not is_counted():
        return []
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) != os.getpid():
                found.append((folder / "environ").read_bytes().decode(errors="replace"))
        except OSError:
            continue  # Another user's, or it has ended.
    return found


def rows_of(report: dict) -> dict[str, list[float]]:
    return {row["name"]: row["rounds"] for part in report["sections"] for row in part["rows"]}


def facts_of(report: dict) -> dict[str, float]:
    return {fact["name"]: fact["value"] for part in report["sections"] for fact in part["facts"]}


def test_classify_tells_speed_start_up_and_where_the_time_goes(place):
    report = place.report(
        "classify", "--reviews", "50", "--large", "0", "--rounds", "2", "--starter-only"
    )

    rows = rows_of(report)
    assert len(rows["seqd, shipped starter, 50 reviews"]) == 2
    assert all(speed > 0 for speed in rows["seqd, shipped starter, 50 reviews"])
    shares = [value for name, value in facts_of(report).items() if ":" in name]
    assert len(shares) == 6
    assert 0.9 < sum(shares) < 1.1
    assert report["setup"]["reviews from"] == "made-up reviews"


@pytest.mark.network
@pytest.mark.timeout(400)
def test_classify_runs_the_tutorials_network_beside_keras(place):
    options = ("--reviews", "20", "--large", "0", "--rounds", "1")
    # Three programs import TensorFlow here.
    report = place.report("classify", *options, timeout_s=360.0)

    rows = rows_of(report)
    assert rows["seqd, 20 reviews / Keras model.predict"][0] > 0
    assert 0 < rows["seqd's share of it"][0] < 1
    assert rows["a command on one review: start-up"][0] > 0
    assert facts_of(report)["floating-point operations a token"] == 80_000
    assert facts_of(report)["items a batch, mean"] == 20
    # ONNX Runtime's own figure, or the line that says what to install.
    assert ("ONNX Runtime, padded" in rows) != any("ONNX" in note for note in report["notes"])


def test_jobs_runs_plain_celery_beside_small_jobs(place):
    report = place.report(
        "jobs", "--light-jobs", "40", "--review-jobs", "20", "--texts", "200", "--tasks", "20",
        "--clients", "2", "--singles", "3", "--rounds", "1",
    )  # fmt: skip

    rows = rows_of(report)
    assert len(rows) == 7
    assert all(figure > 0 for figures in rows.values() for figure in figures)
    latencies = [one for part in report["sections"] for one in part["latencies"]]
    assert [len(one["values_ms"]) for one in latencies] == [3, 3, 3]


def test_generate_tells_characters_a_second_of_a_stream_and_a_batch(place):
    (place.folder / "text.txt").write_text(compose_text(9_000))
    report = place.report(
        "generate", "markov@0", "--file", "text.txt", "--length", "50", "--batch", "4",
        "--batch-length", "20", "--loop-length", "0", "--rounds", "1", "--slots", "cpu:0,cpu:1",
    )  # fmt: skip

    titles = [section["title"] for section in report["sections"]]
    assert titles == [
        "markov: fitting, one core",
        "bits a character, the last tenth of text.txt",
        "markov@0: characters a second",
    ]
    rows = rows_of(report)
    assert list(rows) == [
        "order 5, Kneser-Ney: trained, measured and saved",
        "order 1, preset tutorial: counted",
        "the tutorial's loop in Python: counted",
        "the loop's time / ours",
        "markov@0",
        "one stream, daemon",
        "one stream, in process, one core",
        "batch of 4, daemon",
        "batch of 4, in process, one core",
        "batch of 4, in 2 processes",
    ]
    assert all(figure > 0 for figures in rows.values() for figure in figures)


def test_a_model_that_writes_nothing_is_refused_at_once(place):
    ended = place.bench("generate", "imdb_lstm@0")

    assert ended.status == 2
    assert ended.err == (
        "error[unknown_model]: 'imdb_lstm' writes no text; name a model that does, such as "
        "markov@0\n"
    )


def test_scale_tells_time_and_memory_of_each_size_for_which_there_is_time(place):
    ended = place.bench("scale", "--sizes", "20,60,60000000", "--max-minutes", "5")

    assert ended.status == 0, ended.err
    lines = [line.split() for line in ended.out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("20", "60")] == ["20", "60"] * 2
    assert (
        "Note: 60,000,000 reviews and more were left out: at this speed they would go beyond "
        "--max-minutes 5."
    ) in ended.out
    assert place.left() == []


def test_interactive_times_single_reviews_beside_a_bulk_job(place):
    report = place.report("interactive", "--seconds", "1", "--bulk", "200000")

    (latency,) = report["sections"][0]["latencies"]
    assert len(latency["values_ms"]) >= 1
    assert facts_of(report)["bulk reviews a second meanwhile"] >= 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_ends_all_that_a_bench_has_started(place, number, status):
    program = place.start("interactive", "--seconds", "600")
    try:
        for line in program.stderr:
            if "measuring" in line:
                break
        started = descendants_of(program.pid)
        program.send_signal(number)
        program.communicate(timeout=COMMAND_S)
    finally:
        if program.poll() is None:
            end(program)

    assert program.returncode == status
    assert len(started) >= 4 or not is_counted()
    wait_until(lambda: not any(map(_is_alive, started)), "all that was started has ended")
    assert place.left() == []


def test_training_without_a_file_to_validate_on_is_refused(place):
    ended = place.bench("train", "--file", "reviews.jsonl")

    assert ended.status == 2
    assert ended.err == (
        "error[invalid_request]: --file and --held-out go together; give both, or --data, or "
        "neither\n"
    )


@pytest.mark.timeout(400)
def test_presets_are_trained_with_each_seed_and_measured_on_other_data(place):
    for name, count, seed in [("train", 80, 1), ("test", 40, 2)]:
        rows = compose_reviews(count, seed)
        lines = (json.dumps({"text": one.text, "label": one.label}) + "\n" for one in rows)
        (place.folder / f"{name}.jsonl").write_text("".join(lines))
    files = ("--train", "train.jsonl", "--test", "test.jsonl")

    report = place.report(
        "presets", *files, "--preset", "fast", "--seed", "3", "--seed", "4", timeout_s=360.0
    )

    (section,) = report["sections"]
    assert section["title"] == "fast"
    rows = rows_of(report)
    assert len(rows["accuracy"]) == 2
    assert rows["accuracy, mean over the seeds"] == [pytest.approx(sum(rows["accuracy"]) / 2)]
    assert all(seconds > 0 for seconds in rows["training"])
    assert report["setup"]["seeds"] == "3, 4"


def test_a_preset_that_a_model_has_not_is_refused_with_those_that_it_has(place):
    for name in ("train", "test"):
        (place.folder / f"{name}.jsonl").write_text('{"text": "good", "label": "a"}\n')

    ended = place.bench(
        "presets", "--train", "train.jsonl", "--test", "test.jsonl", "--preset", "fats"
    )

    assert ended.status == 2
    assert ended.err.splitlines()[-1] == (
        "error[invalid_request]: imdb_lstm has no preset 'fats'; it has tutorial, fast, best"
    )
    assert place.left() == []


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
