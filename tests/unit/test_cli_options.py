"""Parameters, values and choices as they are typed on the command line, and what is refused."""

import pytest

from cli_builders import here
from seqd.cli.label_map import read_label_map, suggested_options
from seqd.cli.readers import grid, parameters


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("3", 3),
        ("0.01", 0.01),
        ("true", True),
        ("[0.2,0.5]", [0.2, 0.5]),
        ("fast", "fast"),
        ("a=b", "a=b"),
        ('"5"', "5"),
        ("", ""),
    ],
)
def test_a_value_is_json_or_else_a_text(typed, value):
    assert parameters([f"name={typed}"]) == {"name": value}


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("8,16,32", [8, 16, 32]),
        ("0.5", [0.5]),
        ("true,false", [True, False]),
        ("adam,sgd", ["adam", "sgd"]),
        ("none,8", ["none", 8]),
        ("[64],[64,32]", [[64], [64, 32]]),
        ('"a,b","c"', ["a,b", "c"]),
    ],
)
def test_values_of_a_sweep_are_json_or_else_texts(typed, values):
    assert grid([f"name={typed}"]) == {"name": values}


def test_labels_are_called_what_the_options_say():
    assert read_label_map(["neg=negative", "1=a=b", f"long={'n' * 256}"]) == {
        "neg": "negative",
        "1": "a=b",
        "long": "n" * 256,
    }


@pytest.mark.parametrize(
    ("labels", "classes", "options"),
    [
        (
            {"neg", "pos"},
            {"negative", "positive"},
            "--map-label neg=negative --map-label pos=positive",
        ),
        ({"Positive"}, {"negative", "positive"}, "--map-label Positive=positive"),
        ({"film s"}, {"films"}, "--map-label 'film s=films'"),
        ({"5", "1"}, {"negative", "positive"}, ""),
        ({"neg", "nega"}, {"negative"}, "--map-label neg=negative"),
        ({"neg"}, set(), ""),
    ],
)
def test_labels_are_mapped_to_the_classes_that_look_like_them(labels, classes, options):
    assert suggested_options(labels, classes) == options


CLASSIFY = ("classify", "--text", "a")
COMPARE = ("models", "compare", "m@1", "m@2", "--data", "a.jsonl")
PROMOTE = ("models", "promote", "m@2")
SWEEP = ("sweep", "m", "--data", "keras:imdb", "--set")
TIMES = ("soon", "1h", "", "0", "-5", "1.5", "31622401", "1_000", "9" * 5_000)
DAYS = ("soon", "2x", "2026-13-01", "9" * 7 + "d")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        *(
            (
                (*command, "--expires-in", typed),
                f"invalid_request]: --expires-in is {typed!r}; allowed: whole seconds, 1 to "
                "31,622,400 (366 days)",
            )
            for command in (CLASSIFY, ("generate",), ("train", "m", "--data", "keras:imdb"))
            for typed in (TIMES if command == CLASSIFY else TIMES[:1])
        ),
        *(
            (
                ("jobs", "list", "--since", typed),
                f"invalid_request]: --since is '{typed}'; allowed: a span back from now (30m, 2h, "
                "7d), a day (2026-11-26), or a time (2026-11-26T10:00)",
            )
            for typed in DAYS
        ),
        *(
            (
                (*CLASSIFY, "-p", typed),
                f"invalid_parameters]: {typed!r} is no parameter; allowed: NAME=VALUE, such as "
                "length=200",
            )
            for typed in ("epochs", "=3", "")
        ),
        (
            (*CLASSIFY, "-p", "a=1", "-p", "a=2"),
            "invalid_parameters]: parameter 'a' is given twice; give it once",
        ),
        (
            (*CLASSIFY, "-p", 'a={"b": 1}'),
            "invalid_parameters]: parameter 'a' is an object; allowed: a number",
        ),
        *(
            (
                ("jobs", "list", "-n", typed),
                f"invalid_request]: --limit is {typed!r}; allowed: whole numbers, 1 to 10,000",
            )
            for typed in ("0", "10001", "few")
        ),
        *(
            (
                ("workers", "restart", "--timeout-s", typed),
                f"invalid_request]: --timeout-s is {typed!r}; allowed: 0.1 to 604,800 seconds",
            )
            for typed in ("0", "nan", "soon")
        ),
        *(
            (
                (*CLASSIFY, "--min-score", typed),
                f"invalid_request]: --min-score is {typed!r}; allowed: a number from 0 to 1, such",
            )
            for typed in ("1.5", "-0.1", "nan", "high")
        ),
        (
            (*PROMOTE, "--map-label", "neg=bad", "--by", "0.1"),
            "invalid_request]: --metric, --by, --format, --text-field, --label-field and "
            "--map-label are for --if-better-on FILE, which is not given",
        ),
        (
            (*PROMOTE, "--share", "0%", "--if-better-on", "a.csv", "--format", "csv"),
            "invalid_request]: 0% ends the trial of a version; --if-better-on, --metric, --by and "
            "--max-error-rate are for its begin: leave them away",
        ),
        (
            (*CLASSIFY, "--metadata", "x"),
            "invalid_request]: --metadata is 'x'; allowed: KEY=VALUE, such as batch=2026-11",
        ),
        (
            (*CLASSIFY, "--metadata", "x=1", "--metadata", "x=2"),
            "invalid_request]: --metadata has 'x' twice; give it once",
        ),
        (
            (*CLASSIFY, "--priority", "high"),
            "invalid_request]: --priority is 'high'; allowed: interactive, normal, bulk",
        ),
        *(
            (
                (*command, "--map-label", pair),
                f"invalid_request]: --map-label is {pair!r}; allowed: LABEL={what}, such as "
                "neg=negative",
            )
            for command, what in ((CLASSIFY, "NAME"), (COMPARE, "CLASS"))
            for pair in ("neg", "=negative", "neg=")
        ),
        (
            (*CLASSIFY, "--map-label", "neg=negative", "--map-label", "neg=bad"),
            "invalid_request]: --map-label names the label 'neg' twice; give it once",
        ),
        (
            (*CLASSIFY, "--map-label", f"neg={'n' * 257}"),
            "invalid_request]: --map-label names a class of 257 characters; allowed: 256",
        ),
        (
            (*SWEEP, "length"),
            "invalid_parameters]: 'length' is no list of values; allowed: NAME=V1,V2, such as",
        ),
        ((*SWEEP, "length="), "invalid_parameters]: 'length=' is no list of values"),
        (
            (*SWEEP, "a=1", "--set", "a=2"),
            "invalid_parameters]: parameter 'a' is given twice; give all its values together, as "
            "a=V1,V2",
        ),
        (
            (*SWEEP, 'a={"b": 1},2'),
            "invalid_parameters]: parameter 'a' has an object among its values",
        ),
        (
            (*SWEEP, "a=1,2", "--plot", "plot.pdf"),
            "invalid_request]: the picture is to be 'plot.pdf'; allowed: a name ending in .png",
        ),
        ((*CLASSIFY, "--engine", "spark"), "invalid_request]: --engine is 'spark'; allowed: ray"),
        (
            (*CLASSIFY, "--engine", "ray"),
            "invalid_request]: --engine ray needs --output-folder, where its actors put the "
            "results",
        ),
        (
            (*CLASSIFY, "--engine", "ray", "--output-folder", "out", "--min-score", "0.9"),
            "invalid_request]: --engine ray has no use for --min-score, which only a daemon keeps "
            "to. Leave it out, or leave --engine out",
        ),
        (
            (*CLASSIFY, "--address", "head:6379"),
            "invalid_request]: --address is of a cluster of Ray: give --engine ray with it",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_an_option_that_cannot_be_read_says_what_is_allowed_before_a_server_is_asked(
    capsys, monkeypatch, command, said
):
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://127.0.0.1:1/0")

    ended = here(capsys, *command)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error[{said}")
    assert ended.err.count("\n") == 1
