"""`seqd run`: what it does with files, texts and records, what it shows, and what it refuses."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import seqd_tasks

from builders import a_catalog_entry
from cli_builders import Ended, here, use_ledger
from ledger_fixtures import Environment, publish_entries
from shell_fixtures import on_a_terminal
from task_fixtures import TaskCluster

Run = Callable[..., Ended]


@pytest.fixture
def variables(task_cluster: TaskCluster) -> dict[str, str]:
    settings = task_cluster.settings
    return {"SEQD_REDIS_URL": str(settings.redis_url), "SEQD_PREFIX": settings.prefix}


@pytest.fixture
def run(
    variables: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, command: str = "run") -> Ended:
        return here(capsys, *command.split(), *arguments)

    yield run


def lines_of(written: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


def test_each_text_of_a_file_gets_its_output_in_order(run: Run, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("id,text,stars\na,abc,1\nb,,2\nc,xyz,3\n")

    ended = run("stars", "score", "reviews.csv", "--out", "scores.jsonl", "--keep", "stars")

    assert ended.status == 2
    assert ended.err == ""
    assert ended.out.splitlines()[0].startswith("2 done by stars@1")
    results = lines_of((tmp_path / "scores.jsonl").read_text())
    assert [(one["custom_id"], one["output"]) for one in results] == [
        (name, seqd_tasks.score(text).model_dump()) for name, text in (("a", "abc"), ("c", "xyz"))
    ]
    (error,) = lines_of((tmp_path / "scores.errors.jsonl").read_text())
    assert [one["input"] for one in (*results, error)] == [{"stars": n} for n in ("1", "3", "2")]
    assert error["custom_id"] == "b"
    assert error["error"] == {"code": "invalid_input", "message": "line 3: text is empty."}


def test_records_are_read_from_a_pipe_and_from_the_command_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with io.TextIOWrapper(io.BytesIO(b'{"left": "a", "right": "a"}\n')) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        piped = run("pairs", "compare", "-")
    typed = run("pairs", "compare", "--text", '{"left": "a", "right": "a"}')

    due = {"overlap": 1.0, "shared": ["a"]}
    assert [line["output"] for line in (*lines_of(piped.out), *lines_of(typed.out))] == [due, due]


def test_fields_of_a_typed_record_are_kept_beside_its_result_under_its_identifier(
    run: Run, tmp_path: Path
) -> None:
    record = '{"key": "k1", "left": "a", "right": "a"}'

    ended = run(
        *("pairs", "compare", "--text", record, "--id-field", "key"),
        *("--keep", "left", "--out", "kept.jsonl"),
    )

    assert ended.status == 0, ended.err
    (kept,) = lines_of((tmp_path / "kept.jsonl").read_text())
    assert (kept["custom_id"], kept["input"]) == ("k1", {"left": "a"})


def test_streamed_texts_are_printed_as_they_are_in_the_order_of_the_items(run: Run) -> None:
    ended = run("mirror", "mirror", "--text", "abc def", "--text", "huge", "--text", "", "--stream")

    assert ended.out == "fed cba\n\n"
    assert ended.err.splitlines()[0].startswith("2 done by mirror@1")


def test_a_job_says_which_task_it_does(run: Run) -> None:
    job = run("stars", "score", "--text", "a", "--no-wait").out.strip()

    run(job, command="jobs watch")
    shown = run(job, command="jobs show").out.splitlines()
    listed = run("-n", "1", "--kind", "run", command="jobs list").out.splitlines()
    results = run(job, command="jobs results").out

    assert [line.split() for line in shown[1:3]] == [["kind", "run"], ["task", "score"]]
    assert listed[1].split()[:4] == [job, "run", "score", "stars@1"]
    assert lines_of(results)[0]["output"] == seqd_tasks.score("a").model_dump()


def test_a_file_that_was_taken_as_a_text_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text\na\n")

    ended = run("stars", "score", "--text", "reviews.csv")

    assert ended.status == 0
    assert ended.err.splitlines()[0] == (
        "'reviews.csv' was taken as a text. For those in the file: seqd run stars score reviews.csv"
    )


#: What cannot be run, and what is said of it.
REFUSED = [
    (
        ("plces", "find", "--text", "a"),
        "error[unknown_model]: no model named 'plces'. Known models: mirror, pairs, places, "
        "stars, topics, vectors. Did you mean 'places'? `seqd plugins list` shows plugins that "
        "failed to load; one that was installed since needs `seqd workers restart`.",
    ),
    (
        ("places", "fnd", "--text", "a"),
        "error[invalid_request]: model 'places' has no task 'fnd'; its tasks: find. Did you "
        "mean 'find'? Models with that task: none.",
    ),
    (
        ("places",),
        "error[invalid_request]: no task is given; places can: find. Such as: seqd run places "
        "find FILE",
    ),
    (
        ("places", "reviews.csv"),
        "error[invalid_request]: 'reviews.csv' is a file, and a task is due in front of it; "
        "places can: find. Such as: seqd run places find reviews.csv",
    ),
    (
        ("places", "find"),
        "error[invalid_request]: there is nothing to work on; give a file, `-` for standard "
        "input, or texts",
    ),
    (
        ("places", "find", "none.csv"),
        "error[invalid_input]: {folder}/none.csv does not exist. Check the path",
    ),
    (
        ("places", "find", "Anna met Bert"),
        "error[invalid_input]: there is no file 'Anna met Bert'. To give a text, write --text "
        "in front of it",
    ),
    (
        ("stars", "score", "--text", "a", "-p", "delay=1"),
        "error[invalid_parameters]: stars score: parameter 'delay' is unknown. Did you mean "
        "'delay_ms'? Known parameters: delay_ms.",
    ),
    (
        ("stars", "score", "--text", "a", "--stream"),
        "error[invalid_request]: stars score writes no text: `stream` is for tasks whose "
        "output has a field `text`. Read the results.",
    ),
    (
        ("pairs", "compare", "--text", "a b"),
        "error[invalid_request]: --text is 'a b'; allowed for pairs compare: a record as JSON, "
        "with the fields left, right, weight",
    ),
    (
        ("pairs", "compare", "reviews.csv"),
        "error[invalid_input]: {folder}/reviews.csv has no columns 'left', 'right'; its "
        "columns: text. The task takes records with the fields left, right, weight; name the "
        "columns so",
    ),
    (
        ("pairs", "compare", "lines.txt"),
        "error[invalid_input]: {folder}/lines.txt is read as plain lines, and the task takes "
        "records with the fields left, right, weight. Use JSON Lines with an object a line, or "
        "CSV with a column for each field",
    ),
]


def test_what_cannot_be_run_is_refused_with_what_can(run: Run, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text\na\n")
    (tmp_path / "lines.txt").write_text("a\n")

    for arguments, message in REFUSED:
        ended = run(*arguments)

        assert (ended.status, ended.out) == (2, ""), arguments
        assert ended.err == message.format(folder=tmp_path) + "\n"


def test_the_parameters_of_a_model_are_told_with_what_its_tasks_take_and_give(run: Run) -> None:
    ended = run("pairs", command="models params")

    assert ended.status == 0
    assert ended.out.splitlines() == [
        "pairs compare: Compares two texts.",
        "pairs compare",
        "parameter  default  what it is",
        "delay_ms   0        Milliseconds an item takes. Allowed: 0 to 60000.",
        "",
        "pairs compare, input: records",
        "field   default     what it is",
        "left    (required)  One text. Allowed: a text of 0 to 10000 characters.",
        "right   (required)  The other one. Allowed: a text of 0 to 10000 characters.",
        "weight  1.0         What the score is times. Allowed: 0 to 100.",
        "",
        "pairs compare, output: Comparison",
        "How alike two texts are; an output that no class of `seqd_schemas` is.",
        "field    type           what it is",
        "overlap  number         Share of the words in both, times weight. Allowed: 0 to",
        "                        100.",
        "shared   list of texts  The words in both, sorted. Allowed: a list of 0 to 1000,",
        "                        each a text of 0 to 256 characters.",
        "A unit of work has 64 items.",
    ]


def test_parameters_say_what_vectors_and_records_within_records_hold(run: Run) -> None:
    vectors, labels = (run(name, command="models params") for name in ("vectors", "topics"))

    assert "vector     vector         The vector. Allowed: 256 numbers." in vectors.out
    assert "labels          list of records  The labels, each once" in labels.out
    assert "labels[].score  number           The model's probability of it" in labels.out


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("places", "find", "--text", "Anna met Bert", "--text", "nobody"),
            ["Anna met Bert  Anna NAME, Bert NAME", "nobody         none", "2 done by places@1"],
        ),
        (
            ("places", "find", "visits.csv"),
            ["a           Anna NAME", "b           none", "2 done by places@1"],
        ),
        (("mirror", "mirror", "--text", "abc", "--text", "def"), ["cba", "fed"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_person_reads_a_line_a_result(
    variables: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], lines: list[str]
) -> None:
    (tmp_path / "visits.csv").write_text("id,text\na,Anna came\nb,nobody came\n")

    shown = on_a_terminal(tmp_path, "run", *arguments, **variables)

    # Told of slow jobs alone.
    without_rate = re.sub(r" in [0-9.]+ s, [0-9.,]+ a second|^Job .*\n.*\n", "", shown, flags=re.M)
    assert without_rate.splitlines()[: len(lines)] == lines


def test_what_has_a_command_of_its_own_is_refused_with_its_name(
    environment: Environment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    use_ledger(monkeypatch, environment.settings)

    without = here(capsys, "run", "imdb_lstm")
    named = here(capsys, "run", "imdb_lstm", "classify", "--text", "a")

    assert (without.status, without.err) == (
        2,
        "error[invalid_request]: no task is given; imdb_lstm has none that its plugin has named. "
        "It can: classify, each a command of its own, such as `seqd classify`\n",
    )
    assert (named.status, named.err) == (
        2,
        "error[invalid_request]: 'classify' is a kind of job of its own: hand in a job of the kind "
        "'classify', as `seqd classify` does, and none of the kind 'run'.\n",
    )


def test_what_cannot_be_written_of_records_is_refused(run: Run) -> None:
    Path("pairs.csv").write_text("left,right\na b,b\n")
    command = ("pairs", "compare", "pairs.csv", "--out", "o.csv")

    errors, kept = run(*command, "--errors", "e.npy"), run(*command, "--keep", "all")

    assert (errors.status, errors.err) == (
        2,
        "error[invalid_request]: --errors is 'e.npy', which holds numbers alone; allowed: a name "
        "that ends in .jsonl, .csv, .tsv or .parquet\n",
    )
    assert (kept.status, kept.err) == (
        2,
        "error[invalid_request]: --keep is 'all'; allowed for a task that takes records: the names "
        "of columns, such as --keep stars\n",
    )


def test_cells_are_read_as_the_fields_ask_and_columns_chosen_by_their_names_beside_the_output(
    run: Run,
) -> None:
    Path("pairs.csv").write_text("left,right,weight,stars\na b,b,,4\na,a,2.5,3\na,a,much,2\n")

    ended = run(
        "pairs", "compare", "pairs.csv", "--out", "o.csv", "--columns", "input_stars,overlap"
    )

    assert ended.status == 2, ended.err
    assert Path("o.csv").read_text().splitlines()[1:] == ["4,0.5", "3,2.5"]
    assert (
        "The record does not fit: field 'weight' is 'much': Input should be a valid number"
    ) in Path("o.errors.csv").read_text()
