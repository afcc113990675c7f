"""Versions of `markov` and `markov_words`: what a training counts and writes, files, tables."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from markov_builders import MARKOV, MARKOV_WORDS, generated, sample_of, trained
from seqd.errors import ArtifactDamaged, InvalidData, InvalidInput
from seqd.hookspecs import Artifact, Distribution, LabelledRecord
from seqd.inputs.datasets import ListDataset, TextDataset
from seqd.models.version_files import open_folder
from seqd.testing import CPU, MemoryTrainContext, train_to_artifact
from seqd_markov import TrainParameters

SENTENCES = "The cat sat. The dog ran. A cat ran. The cat sat on a dog. " * 4
PLAIN = {"order": 1, "smoothing": "none"}


def loaded(*args, **parameters):
    return MARKOV.load(trained(*args, **parameters), CPU)


def table(artifact, focus=None):
    (shown,) = MARKOV.inspect(artifact, focus)
    return shown


def symbols(artifact: Artifact) -> list[str]:
    """The vocabulary, sorted; at most 100 symbols, without quotation marks around them."""
    rows = table(artifact).rows
    return sorted(row[0][1:-1] for row in rows if row[0] not in ("<begin>", "<end>"))


# Texts as words and sentences

WORDS = {
    "words and marks": ("it is, then.", ["it", "is", ", ", "then", ". "]),
    "inner marks": ("don't re-read Nietzsche’s", ["don't", "re-read", "Nietzsche’s"]),
    "outer marks": ("'tis -- rock'n'", [" '", "tis", " -- ", "rock'n", "' "]),
    "numbers": ("3.14, 1,000 or 2.", ["3.14", ", ", "1,000", "or", "2", ". "]),
    "quotes": ('"so," (he) said', [' "', "so", ",", '" ', " (", "he", ") ", "said"]),
    "runs": ("well... no--yes", ["well", "... ", "no", "--", "yes"]),
    "accents": ("e\u0301t\u00e9 стол", ["e\u0301t\u00e9", "стол"]),
    "devanagari": ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
    "chinese": ("日本。语", ["日", "本", "。", "语"]),
    "thai": ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
    "hangul": ("안녕 세계", ["안녕", "세계"]),
    "emoji": ("ok 👩\u200d💻!", ["ok", " 👩\u200d", "💻", "! "]),
    "symbols": ("AT&T €5", ["AT", "&", "T", " €", "5"]),
}


@pytest.mark.parametrize(("text", "tokens"), WORDS.values(), ids=WORDS)
def test_a_text_is_cut_into_words_and_marks(tmp_path, text, tokens):
    artifact = trained(tmp_path, text, words=True, sentences=False)

    shown = sorted(row[0] for row in table(artifact).rows)

    assert shown == sorted(map(repr, set(tokens)))


@pytest.mark.parametrize(
    "text",
    [
        'He said: "So be it," and (at last) left -- for good.',
        "It's 3.14 [see 1,000]; isn't it? Yes! 'Quoted.'",
        "日本語のテキスト。新しい文。",
        "Ein „Wort“, zwei «mots», и слова.",
        "a/b c_d e@f 50% #1 x=y",
        "नमस्ते, दुनिया! สวัสดี",
        "a\n  b\tc",
    ],
)
def test_words_are_put_together_as_they_stood_with_one_space_between_them(tmp_path, text):
    first = {"H": "He", "I": "It's", "日": "日", "E": "Ein", "a": "a", "न": "नमस्ते"}[text[0]]
    generator = loaded(tmp_path, text, words=True, sentences=False, order=8, smoothing="none")

    sample = sample_of(first, generator, length=len(text), temperature=0.0)

    assert (first + sample.text).startswith(" ".join(text.split()))


PUNCTUATED = {
    "points": ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    "small letters": ('"What?" he said. Then.', ['"What?" he said.', "Then."]),
    "a text of small letters": ("one. two! three", ["one.", "two!", "three"]),
    "closing marks": ('He left.) "So." Yes.', ["He left.)", '"So."', "Yes."]),
    "initials": ("J. S. Bach wrote. I. So.", ["J. S. Bach wrote.", "I.", "So."]),
    "abbreviations": ("Mr. Smith and Dr. No left.", ["Mr. Smith and Dr. No left."]),
    "numbers": ("It is 3.14 now. Yes.", ["It is 3.14 now.", "Yes."]),
    "three points": ("Well... Then", ["Well...", "Then"]),
    "a blank line": ("A title\n \nThe text\nof two", ["A title", "The text of two"]),
    "chinese": ("好。再见！「走？」他", ["好。", "再见！", "「走？」", "他"]),
    "records": (
        ListDataset([LabelledRecord("one and", None), LabelledRecord("two", None)], "records"),
        ["one and", "two"],
    ),
    "lines": ("Anna\r\n\nJ. Smith\nBert.", ["Anna", "J. Smith", "Bert."]),
}


@pytest.mark.parametrize("name", PUNCTUATED)
def test_a_text_is_split_into_sentences_by_its_punctuation_or_into_lines(tmp_path, name):
    data, sentences = PUNCTUATED[name]
    ends = "lines" if name == "lines" else "punctuation"
    # Of order 8 without smoothing each sentence is written as it stood.
    generator = loaded(
        tmp_path,
        data,
        sentences=True,
        sentence_ends=ends,
        order=8,
        smoothing="none",
        lower_case=False,
    )

    written = {sample_of("", generator, seed=seed, length=200).text for seed in range(40)}

    assert written == set(sentences)


# Training


def test_a_training_reports_what_it_counted_its_steps_and_one_epoch(tmp_path, monkeypatch):
    metrics = trained(tmp_path / "1", "Abab a.", order=1).manifest.metrics
    monkeypatch.setattr("seqd_markov.data.CHUNK_CHARACTERS", 3)
    context = MemoryTrainContext(tmp_path / "2", TextDataset("abab ab", "a test"))
    MARKOV.train(TrainParameters(), context)

    assert sorted(metrics) == ["bits_per_char", "characters", "ngrams", "states"]
    assert (metrics["characters"], metrics["states"], metrics["ngrams"]) == (7, 4, 5)
    assert [(step.done, step.total) for step in context.steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [(report.epoch, report.epochs) for report in context.epochs] == [(1, 1)]


@pytest.mark.parametrize(
    "parameters", [{}, {"sentences": True}, {"sentences": True, "sentence_ends": "lines"}]
)
@pytest.mark.parametrize("words", [False, True])
def test_a_text_in_chunks_is_learnt_as_the_whole(tmp_path, monkeypatch, words, parameters):
    text = SENTENCES.replace(". ", ".\n") + "One line. And another\nthat goes on."

    whole = trained(tmp_path / "1", text, words=words, **parameters)
    monkeypatch.setattr("seqd_markov.data.CHUNK_CHARACTERS", 40)
    in_chunks = trained(tmp_path / "2", text, words=words, **parameters)

    assert in_chunks.manifest.files == whole.manifest.files


@pytest.mark.parametrize(
    ("text", "held_out", "parameters", "characters", "unknown_share"),
    [
        ("ab" * 30 + "xy" * 5 + "ab" * 5, None, {"validation_split": 0.25}, 60, 0.5),
        ("ab" * 40, None, {"validation_split": 0.25}, 60, 0.0),
        ("abab" * 5, "baba?", {"validation_split": 0.25}, 20, 1 / 5),
        # Too short to hold anything out: there are no figures.
        ("abab a.", None, {"validation_split": 0.1}, 7, None),
    ],
)
def test_the_last_part_or_other_data_is_measured_and_not_learnt(
    tmp_path, text, held_out, parameters, characters, unknown_share
):
    other = held_out and TextDataset(held_out, "held out")

    artifact = train_to_artifact(
        MARKOV, parameters, TextDataset(text, "a test"), tmp_path, held_out=other
    )

    metrics = artifact.manifest.metrics
    assert metrics["characters"] == characters
    assert metrics.get("unknown_share") == unknown_share
    assert ("validation_bits_per_char" in metrics) == (unknown_share is not None)
    assert "x" not in symbols(artifact)


def test_the_preset_tutorial_counts_as_the_tutorial_does(tmp_path):
    artifact = train_to_artifact(
        MARKOV, MARKOV.presets["tutorial"], TextDataset("Abab a.", "a test"), tmp_path
    )

    assert table(artifact, "a").rows == (("'b'", 2, 2 / 3), ("'.'", 1, 1 / 3))
    assert symbols(artifact) == [" ", ".", "a", "b"]


def test_the_text_is_kept_only_where_it_is_asked_for_and_not_too_long(tmp_path, monkeypatch):
    kept, left = loaded(tmp_path / "1"), loaded(tmp_path / "2", keep_text=False)
    monkeypatch.setattr("seqd_markov.train.MAX_KEPT_SYMBOLS", 6)
    too_long = loaded(tmp_path / "3")

    assert [sample_of("the", one).longest_copy is None for one in (kept, left, too_long)] == [
        False,
        True,
        True,
    ]


RECORDS = ListDataset(
    [LabelledRecord("ab" * 9, "x"), LabelledRecord("ac" * 3, "y"), LabelledRecord("aa", None)],
    "records",
)


def test_records_are_joined_by_newlines_and_a_labels_weight_multiplies_its_counts(tmp_path):
    plain = trained(tmp_path / "1", RECORDS, **PLAIN)
    weighed = trained(tmp_path / "2", RECORDS, label_weights=["x=0.5", "y=3"], **PLAIN)

    assert symbols(plain) == symbols(weighed) == ["\\n", "a", "b", "c"]
    assert [row[:2] for row in table(plain, "a").rows] == [("'b'", 9), ("'c'", 3), ("'a'", 1)]
    assert [row[:2] for row in table(weighed, "a").rows] == [("'c'", 9), ("'b'", 4.5), ("'a'", 1)]
    # Each label is counted apart: the newline is behind it where another begins.
    assert table(plain, "\\n").rows[0][:2] == ("'a'", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"label_weights": [one]} for one in ("x=0", "x=-1", "x=nan", "x=1e3", "x", "x=", "=1")),
        {"label_weights": ["x=1", "x=2"]},
    ],
    ids=str,
)
def test_a_parameter_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TrainParameters.model_validate(wrong)


CANNOT_BE_LEARNT = (
    "The {} has {} characters, {} of them different; a chain needs 2 different ones at least, and "
    "something else than spaces. Give a longer text."
)


@pytest.mark.parametrize(
    ("data", "held_out", "parameters", "message"),
    [
        ("a", None, {}, CANNOT_BE_LEARNT.format("text", 1, 1)),
        ("\n \n", None, {}, CANNOT_BE_LEARNT.format("text", 3, 2)),
        ("abab", "  ", {}, CANNOT_BE_LEARNT.format("held-out text", 2, 1)),
        (
            RECORDS,
            None,
            {"label_weights": ["z=2"]},
            "No record has the label 'z', which label_weights has. Labels in the data: 'x', 'y'. "
            "Mend the data or the weights.",
        ),
    ],
)
@pytest.mark.parametrize("model", [MARKOV, MARKOV_WORDS])
def test_what_cannot_be_learnt_from_is_refused(
    tmp_path, model, data, held_out, parameters, message
):
    given = data if data is RECORDS else TextDataset(data, "a test")
    other = held_out and TextDataset(held_out, "held out")

    with pytest.raises(InvalidData) as raised:
        train_to_artifact(model, parameters, given, tmp_path, held_out=other)

    assert str(raised.value) == message


# Files of a version

NGRAMS = "ngrams.safetensors"


@pytest.mark.parametrize("name", [NGRAMS, "config.json", "vocabulary.json"])
def test_a_missing_or_cut_file_is_a_damaged_artifact(tmp_path, name):
    artifact = trained(tmp_path, SENTENCES, words=True)
    content = (artifact.folder / name).read_bytes()

    (artifact.folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactDamaged, match=rf"^{name} cannot be (read|used): "):
        MARKOV.load(artifact, CPU)
    (artifact.folder / name).unlink()
    with pytest.raises(ArtifactDamaged, match=rf"^{name} cannot be (read|used): "):
        MARKOV.load(artifact, CPU)


def with_changed_json(artifact, name, change):
    path = artifact.folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return artifact


@pytest.mark.parametrize(
    ("words", "name", "change", "message"),
    [
        (False, "config.json", lambda config: config | {"alphabet": "ba"}, "cannot be used"),
        (False, "config.json", lambda config: config | {"level": "words"}, "cannot be used"),
        *[
            (True, "vocabulary.json", lambda _, value=value: value, "cannot be used")
            for value in ([], ["a", "a"], ["a", ""], {"a": 1})
        ],
        # Files of different versions:
        (False, "config.json", lambda c: c | {"alphabet": c["alphabet"] + "ÿ"}, "Train the model"),
        (False, "config.json", lambda c: c | {"sentences": True}, "Train the model again"),
        (True, "config.json", lambda c: c | {"alphabet": "ab"}, "Train the model again"),
        (True, "config.json", lambda c: c | {"level": "characters"}, "Train the model again"),
        (True, "vocabulary.json", lambda words: [*words, "more"], "Train the model again"),
    ],
)
def test_a_config_or_vocabulary_that_is_not_this_formats_or_versions_is_damaged(
    tmp_path, words, name, change, message
):
    artifact = with_changed_json(trained(tmp_path, SENTENCES, words=words), name, change)

    with pytest.raises(ArtifactDamaged, match=message) as raised:
        MARKOV.load(artifact, CPU)

    assert str(raised.value).startswith(name if message == "cannot be used" else NGRAMS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": np.ones(3, np.float32)}, "'text' is float32 of shape"),
        ({"text": np.ones(3, np.int8)}, "due is packed bytes"),
        ({"more": np.ones(1, np.uint8)}, "arrays .* are there"),
        ({"spelling_more": np.ones(1, np.uint8)}, "a version of characters has 1 arrays"),
        ({"ngram_counts": np.zeros(44, np.uint8)}, "'ngram_counts'"),
    ],
)
def test_tensors_that_do_not_fit_together_are_a_damaged_artifact(tmp_path, changes, message):
    artifact = trained(tmp_path, "abab")
    path = artifact.folder / NGRAMS
    save_file(load_file(path) | changes, path)

    with pytest.raises(ArtifactDamaged, match=message):
        MARKOV.load(artifact, CPU)


def test_a_kept_text_of_another_alphabet_is_a_damaged_artifact(tmp_path):
    few, many = trained(tmp_path / "1", "abab"), trained(tmp_path / "2", "abcdefgh")
    other = load_file(many.folder / NGRAMS)["text"]
    save_file(load_file(few.folder / NGRAMS) | {"text": other}, few.folder / NGRAMS)

    with pytest.raises(ArtifactDamaged, match="'text' has ids from 0 to 7; possible are -1 to 1"):
        MARKOV.load(few, CPU)


# What a person looks at


@pytest.fixture
def plain(tmp_path):
    """The tutorial's kind of chain."""
    return trained(tmp_path / "plain", "aabab\nab", **PLAIN)


@pytest.fixture
def deep(tmp_path):
    return trained(tmp_path / "deep", "the thaw of the then", order=3)


@pytest.fixture
def quoted(tmp_path):
    return trained(
        tmp_path / "words", 'The cat sat. "The dog," he said, "ran." The cat ran.', words=True
    )


def test_a_focus_shows_the_states_transitions_the_most_probable_first(plain):
    shown = table(plain, "a")

    assert shown.title == "After 'a': 2 successors in 4 transitions"
    assert shown.columns == ("successor", "count", "probability")
    assert shown.rows == (("'b'", 3, 0.75), ("'a'", 1, 0.25))
    assert shown.distribution == Distribution(names="successor", shares="probability")
    assert table(plain, "\\n") == table(plain, "\n")


def test_without_a_focus_the_most_frequent_symbols_come_first(plain, tmp_path):
    shown = table(plain)

    assert shown.title == (
        "The 3 most frequent of 3 characters; 3 contexts of up to 1 are known, and 5 sequences of 2"
    )
    assert shown.rows == (
        ("'a'", 4, 2, "'b'", 0.75),
        ("'b'", 3, 2, r"'\n'", 0.5),
        (r"'\n'", 1, 1, "'a'", 1.0),
    )
    ended = trained(tmp_path / "ended", "ab", **PLAIN)
    assert table(ended).rows[1] == ("'b'", 1, 0, "", 0.0)
    assert table(ended, "b").title == "After 'b': 0 successors in 0 transitions"


@pytest.mark.parametrize("focus", ["z", "", "az"])
def test_an_unknown_focus_is_refused_with_the_known_states(plain, focus):
    with pytest.raises(InvalidInput) as raised:
        table(plain, focus)

    assert str(raised.value) == (
        rf"No state {focus!r}. The chain knows 3 characters: '\n' 'a' 'b'. End with one of them; "
        r"\n, \r, \t and space may be written so."
    )


@pytest.mark.parametrize(
    ("focus", "title"),
    [
        ("th", "After 'th': 2 successors in 4 transitions"),
        (
            "xyh",
            "After 'h', the longest known ending of <unknown> <unknown> 'h': 2 successors in 4 "
            "transitions",
        ),
        ("hth", "After 'th', the longest known ending of 'hth': 2 successors in 4 transitions"),
        ("of the", "After 'the', the last 3 characters of 'of the': 2 successors in 3 transitions"),
    ],
)
def test_of_a_context_as_much_is_shown_as_is_known(deep, focus, title):
    assert table(deep, focus).title == title


def test_only_a_whole_context_has_its_smoothed_probabilities_beside(deep):
    part, whole = table(deep, "th"), table(deep, "the")

    assert part.columns == ("successor", "count", "probability")
    assert part.rows == (("'e'", 3, 0.75), ("'a'", 1, 0.25))
    assert whole.columns == (*part.columns, "smoothed")
    assert 0 < sum(row[3] for row in whole.rows) < 1
    assert table(deep, "space") == table(deep, " ")


def test_words_and_beginnings_are_looked_at_as_they_are_written(quoted):
    after_cat, first = table(quoted, "The cat"), table(quoted, "<begin>")

    assert after_cat.title == "After 'The cat': 2 successors in 2 transitions"
    assert [row[:2] for row in after_cat.rows] == [("'ran'", 1), ("'sat'", 1)]
    assert table(quoted, ",").rows[0][0] == "'\" '"
    assert first.title == "After <begin>: 2 successors in 3 transitions"
    assert first.rows[0][:2] == ("'The'", 2)
    assert ("<begin>", 3, 2, "'The'", 2 / 3) in table(quoted).rows
    with pytest.raises(InvalidInput, match=r"No state 'the'\. The chain knows 13 words: .*'The'"):
        table(quoted, "the")


# The plugin


def test_the_starters_write_what_they_have_always_written():
    """Files of an earlier release are read as they were; new starters write something else."""
    parameters = {"length": 9, "temperature": [0.0, 1.0], "seed": 5}

    written = [
        [sample.text for sample in outcome.samples]
        for model in (MARKOV, MARKOV_WORDS)
        for outcome in generated(
            "The truth is",
            generator=model.load(open_folder(model.starter, model.name, 0), CPU),
            **parameters,
        )
    ]

    assert written == [
        [" a sort o", " a defini"],
        [
            " a question of rank, which is the most",
            " a duplicate), to the new and not",
        ],
    ]
