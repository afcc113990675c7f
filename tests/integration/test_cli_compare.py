"""`seqd models compare`: two versions on the same items, with a real server and real workers.

Most models here are functions of the test, so that each answer is known; the guides compare
versions of `imdb_lstm`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from cli_builders import Ended, here, use_ledger
from seqd.testing import RunningServices, ServerForTests, StubModel, running_services
from seqd_schemas import Classification

pytest_plugins = ["seqd.testing.services"]

pytestmark = pytest.mark.processes

LABELS = ("books", "films", "games")

Compare = Callable[..., Ended]


def a_classification(label: str, labels: Sequence[str] = LABELS) -> Classification:
    rest = 0.2 / (len(labels) - 1)
    shares = {one: 0.8 if one == label else rest for one in labels}
    return Classification(label=label, score=0.8, truncated=False, probabilities=shares)


def topic_of(text: str) -> Classification:
    """Return the topic that a text such as `films 7` begins with."""
    return a_classification(text.split()[0])


def hasty_topic_of(text: str) -> Classification:
    """Take every third text for one of films."""
    topic, number = text.split()
    return a_classification("films" if int(number) % 3 == 0 else topic)


def shouted_topic_of(text: str) -> Classification:
    labels = [label.upper() for label in LABELS]
    return a_classification(text.split()[0].upper(), labels)


def older_topic_of(text: str) -> Classification:
    """Know nothing of games."""
    topic = text.split()[0]
    return a_classification("films" if topic == "games" else topic, ("books", "films"))


def bare_topic_of(text: str) -> str:
    return text.split()[0]


MODELS: Mapping[str, Callable[[str], object] | StubModel] = {
    "exact": topic_of,
    "hasty": hasty_topic_of,
    "loud": shouted_topic_of,
    "older": older_topic_of,
    "bare": bare_topic_of,
    "writer": StubModel(generate=lambda text: text),
}


@pytest.fixture(scope="module")
def services(seqd_server: ServerForTests) -> Iterator[RunningServices]:
    with running_services(MODELS, server=seqd_server) as running:
        yield running


def lines(count: int) -> list[dict[str, str]]:
    topics = [LABELS[number % 4 % 3] for number in range(count)]
    return [
        {"custom_id": f"t{number}", "text": f"{topic} {number}", "label": topic}
        for number, topic in enumerate(topics)
    ]


def written(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    """Sixty texts of three topics, the first of them twice as frequent."""
    return written(tmp_path / "topics.jsonl", lines(60))


@pytest.fixture
def models(
    services: RunningServices,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Compare:
    """Return what runs `seqd models …` on a machine without the store."""
    use_ledger(monkeypatch, services.settings)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *words: here(capsys, "models", *map(str, words))


@pytest.fixture
def compare(models: Compare) -> Compare:
    return lambda *words: models("compare", *words)


def words_of(shown: str) -> list[list[str]]:
    """Return the words of each line; a machine may be too fast for the line of a speed."""
    lines = [line.split() for line in shown.splitlines()]
    return [words for words in lines if words[:3] != ["items", "a", "second"]]


def test_figures_of_both_versions_stand_beside_each_other(compare: Compare, topics: Path) -> None:
    ended = compare("hasty@1", "exact@1", "--data", topics)

    assert ended.status == 0, ended.err
    assert words_of(ended.out) == words_of(
        "first   hasty@1\n"
        "second  exact@1\n"
        "data    topics.jsonl, 60 labelled items\n"
        "\n"
        "          hasty@1  exact@1  difference  95% interval\n"
        "accuracy  0.7500   1.0000   +0.2500     +0.1399 to +0.3723\n"
        "macro F1  0.7556   1.0000   +0.2444     +0.1431 to +0.3638\n"
        "log loss  0.7430   0.2231   -0.5199     -0.7496 to -0.2901\n"
        "size      2 B      2 B\n"
        "memory    1 B      1 B\n"
        "Less is better of log loss.\n"
        "\n"
        "right          items  share\n"
        "both              45  75.0%\n"
        "hasty@1 alone      0  0.0%\n"
        "exact@1 alone     15  25.0%\n"
        "neither            0  0.0%\n"
        "McNemar's exact test, two-sided: p < 0.0001\n"
        "\n"
        "Same label: 75.00% of the items (Cohen's kappa 0.6250); 15 items changed.\n"
        "changed  truth  hasty@1     exact@1     text\n"
        "t0       books  films 0.80  books 0.80  books 0\n"
        "t3       books  films 0.80  books 0.80  books 3\n"
        "t6       games  films 0.80  games 0.80  games 6\n"
        "t12      books  films 0.80  books 0.80  books 12\n"
        "t15      books  films 0.80  books 0.80  books 15\n"
        "All of them: --changed FILE\n"
    )


@pytest.mark.slow
def test_the_exit_status_tells_a_script_whether_the_second_is_better(
    compare: Compare, topics: Path
) -> None:
    asked = {("hasty", "exact"): ("0.2", "0.3"), ("exact", "hasty"): ("0",)}

    told = [
        (ended.status, ended.out.splitlines()[-1])
        for versions, gains in asked.items()
        for by in gains
        for ended in [compare(*versions, "--data", topics, "--metric", "accuracy", "--by", by)]
    ]

    assert told == [
        (0, "exact@1 is better: accuracy is better by 0.2500."),
        (3, "exact@1 is not better: accuracy is better by 0.2500; 0.3 is asked for."),
        (3, "hasty@1 is not better: accuracy is worse by 0.2500."),
    ]


def test_as_json_all_figures_are_there_and_the_verdict(compare: Compare, topics: Path) -> None:
    ended = compare("hasty", "exact", "--data", topics, "--metric", "f1_macro", "--json")

    found = cast(dict[str, dict[str, object]], ended.json())
    assert ended.status == 0, ended.err
    assert list(found) == [
        *("task", "data", "items", "first", "second", "metrics", "answers", "changes"),
        *("output", "errored", "verdict"),
    ]
    speed = found["first"].pop("items_per_s")
    assert speed is None or cast(float, speed) > 0  # a machine may be too fast for a figure
    assert found["first"] == {"ref": "hasty@1", "size_bytes": 2, "memory_bytes": 1}
    assert list(found["metrics"]) == ["accuracy", "f1_macro", "log_loss"]
    assert found["answers"]["changed"] == 15
    assert found["verdict"]["is_better"] is True


def test_each_changed_item_is_written_in_the_order_of_the_input(
    compare: Compare, topics: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.jsonl"

    ended = compare("hasty", "exact", "--data", topics, "--changed", changed)
    again = compare("hasty", "exact", "--data", topics, "--changed", changed)

    records = [json.loads(line) for line in changed.read_text().splitlines()]
    assert f"{changed}: 15 changed items, in input order" in ended.out
    assert [record["custom_id"] for record in records] == [
        line["custom_id"]
        for line in lines(60)
        if int(line["custom_id"][1:]) % 3 == 0 and line["label"] != "films"
    ]
    assert records[0] == {
        "custom_id": "t0",
        "text": "books 0",
        "truth": "books",
        "first": {"label": "films", "score": 0.8},
        "second": {"label": "books", "score": 0.8},
    }
    assert (again.status, again.err) == (
        2,
        f"error[output_exists]: --changed is '{changed}', which exists. Name another file, or "
        "replace it with --force\n",
    )


def test_what_cannot_be_paired_is_left_out_and_said(
    compare: Compare, services: RunningServices, tmp_path: Path
) -> None:
    bare = {"text": "films 61"}
    data = written(tmp_path / "topics.jsonl", [*lines(60), bare, {"text": " ", "label": "films"}])
    services.fail_item("books 12", times=1)  # of the first version; it is not in the sample

    ended = compare("older", "exact", "--data", data)

    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[:4] == [
        "older@1 has no class 'games', which the data and exact@1 have: it is wrong about such "
        "items, and they are not in the log loss.",
        "The versions have different classes: exact@1 alone has 'games'.",
        "1 item without a label left out.",
        "2 items left out of both, as a version gave an error: older@1 2, exact@1 1.",
    ]


def labelled(path: Path, *labels: str | None) -> Path:
    """Write texts on films, of which some are called otherwise."""
    texts = [{"text": f"films {number}"} for number in range(len(labels))]
    rows = [text | ({} if one is None else {"label": one}) for text, one in zip(texts, labels)]  # noqa: B905
    return written(path, rows)


def test_labels_that_no_version_knows_are_told_before_the_figures_with_their_mapping(
    compare: Compare, tmp_path: Path
) -> None:
    ended = compare(
        "exact", "hasty", "--data", labelled(tmp_path / "a.jsonl", "films", "film", "film")
    )

    said = " ".join(ended.out.split())
    sentence = (
        "2 items with labels that neither version knows ('film') count as wrong for both. Are they "
        "classes by other names? --map-label LABEL=CLASS"
    )
    assert ended.status == 0, ended.err
    assert -1 < said.find(sentence) < said.index("accuracy")


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (
            ("films", "book", "book"),
            (),
            "2 items of classes that the model does not know ('book') counted as wrong, and not in "
            "the log loss. To map them: --map-label book=books ",
        ),
        (("films", "book", "book"), ("--map-label", "book=films"), "model exact@1"),
        # It is none of the model's classes by another name.
        (
            ("films", "films", "noise"),
            (),
            "1 item of classes that the model does not know ('noise') counted as wrong, and not in "
            "the log loss. model exact@1",
        ),
        (("films", None), (), "model exact@1"),
    ],
)
def test_of_a_version_that_is_measured_it_is_said_first_which_labels_it_does_not_know(
    models: Compare,
    tmp_path: Path,
    labels: tuple[str | None, ...],
    options: tuple[str, ...],
    said: str,
) -> None:
    data = labelled(tmp_path / "data.jsonl", *labels)

    ended = models("evaluate", "exact", "--data", data, *options)

    shown = " ".join(ended.out.split())
    assert ended.status == 0, ended.err
    assert shown.startswith(said)
    right = [one for one in labels if one == "films" or (options and one)]
    assert f"{100 * len(right) / len([one for one in labels if one]):.2f}%" in shown
    assert ("1 item without a label left out." in shown) is (None in labels)


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (
            ("film", "Films"),
            (),
            "no label of data.jsonl is a class of the model, so no answer could be right. The file "
            "has 'Films', 'film'; the model gave 'books', 'films', 'games'. Map them: --map-label "
            "Films=films.",
        ),
        (
            (None,),
            ("--label-field", "stars"),
            "data.jsonl has no record with both a label and an answer, so there is nothing to "
            "evaluate. The label is looked for in the field 'stars' (--label-field).",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    models: Compare,
    tmp_path: Path,
    labels: tuple[str | None, ...],
    options: tuple[str, ...],
    said: str,
) -> None:
    data = labelled(tmp_path / "data.jsonl", *labels)

    ended = models("evaluate", "exact", "--data", data, *options)

    assert ended.status == 2
    assert ended.err.splitlines()[-1] == f"error[invalid_data]: {said}"


#: Versions and data that cannot be compared, and what is said of them.
REFUSED = [
    (
        ("loud", "loud@1"),
        lines(8),
        "invalid_request]: 'loud' and 'loud@1' are both loud@1; name two versions, such as "
        "loud@1 and loud@2. `seqd models show loud` lists them",
    ),
    (
        ("writer", "loud"),
        lines(8),
        "invalid_request]: 'writer' does not classify (it can generate and train). Allowed: "
        "two versions that classify; or two that write text, on a machine that has their "
        "plugins and store",
    ),
    (
        ("exact", "nobody"),
        lines(8),
        "unknown_model]: no model named 'nobody'. Known models: bare, exact, hasty, loud, "
        "older, writer. `seqd plugins list` shows plugins that failed to load; "
        "one that was installed since needs `seqd workers restart`.",
    ),
    (
        ("exact", "loud"),
        [{"text": "films 1"}],
        "invalid_data]: data.jsonl has no label, so nothing can be right or wrong. The label "
        "is looked for in the field 'label' (--label-field).",
    ),
    (
        ("exact", "loud"),
        [{"text": 7, "label": "films"}],
        "invalid_data]: data.jsonl has no item with both a label and two answers: exact@1 gave 1 "
        "errors and loud@1 1, so there is nothing to compare. `seqd classify` or `seqd run` on the "
        "file shows them.",
    ),
    (
        ("exact", "hasty"),
        [{"text": "films 1", "label": "Films"}, {"text": "books 1", "label": 7}],
        "invalid_data]: no label of data.jsonl is a class of either version, so none could be "
        "right. The file has '7', 'Films'; both versions have 'books', 'films', 'games'. Map "
        "them: --map-label Films=films. Or name another field than 'label' by --label-field.",
    ),
    (
        ("markov", "exact"),
        lines(8),
        "invalid_request]: 'markov' writes text and 'exact' does not, or its plugin is not on "
        "this machine; allowed: two versions that classify, or two that write text and are "
        "here",
    ),
]


def test_what_cannot_be_compared_is_refused(compare: Compare, tmp_path: Path) -> None:
    for versions, records, message in REFUSED:
        data = written(tmp_path / "data.jsonl", records)

        ended = compare(*versions, "--data", data)

        assert (ended.status, ended.out) == (2, ""), versions
        assert ended.err.splitlines()[-1].replace(f"{tmp_path}/", "") == f"error[{message}"


#: Options that do not fit, and what is said of them.
UNFIT = [
    (("--by", "0.1"), "--by is the least gain in a metric, and no --metric is given"),
    (
        ("--metric", "accuracy", "--by", "-1"),
        "--by is '-1'; allowed: 0 or more, such as 0.002",
    ),
    (
        ("--metric", "recall"),
        "--metric is 'recall'; allowed: accuracy, f1_macro, log_loss, bits_per_char, "
        "f1_micro, precision_micro, recall_micro, chrf, exact_match, overlap_f1, "
        "mean_absolute_error, root_mean_square_error",
    ),
    (
        ("--metric", "bits_per_char"),
        "--metric is 'bits_per_char'; allowed of versions that classify: accuracy, f1_macro, "
        "log_loss",
    ),
    (
        ("--changed", "changed.csv"),
        "--changed is 'changed.csv'; allowed: a name ending in .jsonl, also with .gz or .zst",
    ),
    (
        ("--changed", "-", "--json"),
        "--changed is '-' and --json is given; both print on stdout",
    ),
    (
        ("--last", "0.1"),
        "--last is for versions that write text, and these are none here",
    ),
]


def test_options_that_do_not_fit_are_refused(compare: Compare, topics: Path) -> None:
    ended = [compare("exact", "hasty", "--data", topics, *options) for options, _ in UNFIT]

    assert [(one.status, one.err) for one in ended] == [
        (2, f"error[invalid_request]: {message}\n") for _, message in UNFIT
    ]


def test_a_figure_that_the_versions_do_not_have_decides_nothing(
    compare: Compare, topics: Path
) -> None:
    ended = compare("exact", "bare", "--data", topics, "--metric", "log_loss")

    assert ended.status == 2
    assert "log_loss is not known: a version gives no probabilities" in ended.err


def test_a_version_is_measured_by_figures_that_agree_and_its_picture_drawn(
    models: Compare, topics: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"
    command = ("evaluate", "hasty", "--data", topics)

    shown = models(*command, "--plot", picture)
    report = cast(dict[str, Any], models(*command, "--json").json())
    refused = models(*command, "--plot", "picture.gif")

    assert shown.status == 0, shown.err
    for words in ("hasty@1", "topics.jsonl, 60 labelled items", "calibration error", "recall"):
        assert words in shown.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (report["model"], report["items"], report["accuracy"]) == ("hasty@1", 60, 0.75)
    # Both classes' probabilities are asked for, so that the loss is of all items.
    assert report["log_loss"] == pytest.approx(0.7430, abs=1e-4)
    assert sum(map(sum, report["confusion"])) == 60
    assert (refused.status, refused.err) == (
        2,
        "error[invalid_request]: the picture is to be 'picture.gif'; allowed: a name ending in "
        ".png\n",
    )


def test_versions_that_write_text_are_compared_by_bits_a_character(
    compare: Compare, tmp_path: Path
) -> None:
    text = tmp_path / "sea.txt"
    text.write_text("The sea was calm, and the ship lay still. " * 20)

    ended = compare("markov_words@0", "markov@0", "--data", text, "--metric", "bits_per_char")

    lines = ended.out.splitlines()
    assert ended.status == 0, ended.err
    assert lines[:3] == [
        "first   markov_words@0",
        "second  markov@0",
        "data    sea.txt, 840 characters",
    ]
    assert lines[5].startswith("bits per char  ")
    assert lines[-1].startswith("markov@0 is better: bits_per_char is better by ")
