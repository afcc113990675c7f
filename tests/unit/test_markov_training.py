"""Training versions of characters and of words, as the daemon does it."""

import numpy as np
import pytest
from pydantic import ValidationError

import seqd_markov.training
from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import Artifact, LabelledRecord
from seqd.inputs.datasets import ListDataset, TextDataset
from seqd.testing import MemoryTrainContext, train_to_artifact
from seqd_markov import Markov, MarkovWords, TrainParameters, WordTrainParameters
from seqd_markov.model import load

SENTENCES = "The cat sat. The dog ran. A cat ran. The cat sat on a dog. " * 4


def a_version(folder, text="Abab a.", held_out=None, model=None, **parameters) -> Artifact:
    return train_to_artifact(
        model or Markov(),
        parameters,
        TextDataset(text, "a test") if isinstance(text, str) else text,
        folder,
        held_out=held_out and TextDataset(held_out, "held out"),
    )


def loaded(folder, *args, **parameters):
    return load(a_version(folder, *args, **parameters).folder)


def test_a_training_reports_what_it_counted(tmp_path):
    metrics = a_version(tmp_path, order=1, validation_split=0.0).manifest.metrics

    assert sorted(metrics) == ["bits_per_char", "characters", "ngrams", "states"]
    assert (metrics["characters"], metrics["states"], metrics["ngrams"]) == (7, 4, 5)


def test_the_last_part_is_held_out_and_measured(tmp_path):
    metrics = a_version(tmp_path, SENTENCES, validation_split=0.25).manifest.metrics

    assert metrics["characters"] == len(SENTENCES) * 3 / 4
    assert metrics["validation_bits_per_char"] > 0
    assert metrics["unknown_share"] == 0


def test_what_is_held_out_is_not_learnt(tmp_path):
    version = loaded(tmp_path, "ab" * 30 + "xy" * 10, validation_split=0.25)

    assert version.tokenizer.vocabulary == "ab"


def test_held_out_data_takes_the_place_of_the_last_part(tmp_path):
    metrics = a_version(tmp_path, "abab" * 5, "baba?").manifest.metrics

    assert metrics["characters"] == 20
    assert metrics["unknown_share"] == pytest.approx(1 / 5)


def test_a_text_too_short_to_hold_anything_out_is_learnt_whole(tmp_path):
    metrics = a_version(tmp_path, "abab a.").manifest.metrics

    assert metrics["characters"] == 7
    assert "validation_bits_per_char" not in metrics


def test_a_version_of_words_has_a_perplexity_and_unknown_words(tmp_path):
    metrics = a_version(tmp_path, SENTENCES, "The zebra sat.", model=MarkovWords()).manifest.metrics

    assert metrics["validation_perplexity"] > 1
    assert metrics["unknown_share"] == pytest.approx(1 / 5)  # three words, a point, and the end


def test_the_preset_tutorial_counts_as_the_tutorial_does(tmp_path):
    version = loaded(tmp_path, "Abab a.", **Markov.presets["tutorial"])

    after_a = version.model.probabilities(np.array([version.model.state_after(np.array([2]))]))
    assert version.tokenizer.vocabulary == " .ab"
    assert after_a.tolist() == [[0, 1 / 3, 0, 2 / 3]]  # after a: a point once, b twice


def test_the_defaults_are_the_preset_best():
    assert TrainParameters(**Markov.presets["best"]) == TrainParameters()
    assert WordTrainParameters(**MarkovWords.presets["best"]) == WordTrainParameters()


def test_upper_case_is_kept_where_it_is_asked_for(tmp_path):
    assert loaded(tmp_path).tokenizer.vocabulary == " .ab"
    assert loaded(tmp_path, lower_case=False).tokenizer.vocabulary == " .Aab"


def test_the_most_frequent_words_are_kept(tmp_path):
    text = " ".join(f"w{number} " * (number + 1) for number in range(150))

    version = loaded(tmp_path, text, model=MarkovWords(), max_vocabulary=100, validation_split=0.0)

    assert version.tokenizer.vocabulary[:2] == ("w149", "w148")
    assert len(version.tokenizer.vocabulary) == 100
    dropped = sum(range(1, 51))
    assert version.config.unknown_share == pytest.approx(dropped / sum(range(1, 151)))
    assert (version.corpus == -1).sum() == dropped


def test_sentences_begin_and_end_in_a_version_of_sentences(tmp_path):
    version = loaded(tmp_path, SENTENCES, model=MarkovWords(), validation_split=0.0)

    first = version.model.probabilities(
        np.array([version.model.state_after(np.array([version.tokenizer.begin]))])
    )[0]
    best = version.tokenizer.decode(np.array([first.argmax()]))
    ends = version.model.log_probs(version.tokenizer.encode("The cat sat."), 0)
    assert best == "The"
    assert np.isfinite(ends).all()
    assert version.tokenizer.end in version.corpus


def test_lines_may_be_the_sentences(tmp_path):
    version = loaded(
        tmp_path,
        "Anna\nBert\nAnne\n",
        sentences=True,
        sentence_ends="lines",
        lower_case=False,
        validation_split=0.0,
    )

    assert version.tokenizer.vocabulary == "ABaenrt"
    assert (version.corpus == version.tokenizer.end).sum() == 3


def test_rare_sequences_are_left_out_on_request(tmp_path):
    all_, frequent = (
        a_version(tmp_path / str(least), SENTENCES, min_count=least).manifest.metrics
        for least in (1, 5)
    )

    assert frequent["ngrams"] < all_["ngrams"]
    assert frequent["states"] < all_["states"]


def test_the_text_is_kept_only_where_it_is_asked_for_and_not_too_long(tmp_path, monkeypatch):
    kept = loaded(tmp_path, validation_split=0.0)
    left = loaded(tmp_path, keep_text=False)
    monkeypatch.setattr(seqd_markov.training, "MAX_KEPT_SYMBOLS", 6)
    too_long = loaded(tmp_path, validation_split=0.0)

    assert kept.tokenizer.decode(kept.corpus) == "abab a."
    assert kept.corpus.dtype == np.int8
    assert left.corpus is None
    assert too_long.corpus is None


RECORDS = ListDataset(
    [LabelledRecord("ab" * 9, "x"), LabelledRecord("ac" * 3, "y"), LabelledRecord("aa", None)],
    "records",
)


def after_a(version):
    return version.model.probabilities(np.array([version.model.state_after(np.array([1]))]))[0]


def test_a_labels_weight_multiplies_its_counts(tmp_path):
    parameters = {"order": 1, "smoothing": "none", "validation_split": 0.0}

    plain = loaded(tmp_path / "1", RECORDS, **parameters)
    weighed = loaded(tmp_path / "2", RECORDS, label_weights=["x=0.5", "y=3"], **parameters)

    assert plain.tokenizer.vocabulary == weighed.tokenizer.vocabulary == "\nabc"
    assert after_a(plain)[2:] == pytest.approx(np.array([9, 3]) / 13)
    assert after_a(weighed)[2:] == pytest.approx(np.array([4.5, 9]) / 14.5)


def test_a_weight_of_no_label_is_refused(tmp_path):
    with pytest.raises(InvalidData) as raised:
        a_version(tmp_path, RECORDS, label_weights=["z=2"])

    assert str(raised.value) == (
        "No record has the label 'z', which label_weights has. Labels in the data: 'x', 'y'. Mend "
        "the data or the weights."
    )


@pytest.mark.parametrize("weight", ["x", "x=", "x=0", "x=-1", "x=nan", "=1", "x=1e3"])
def test_what_is_no_weight_is_refused(weight):
    with pytest.raises(ValidationError, match=r"is no weight; write LABEL=WEIGHT|at least 3"):
        TrainParameters(label_weights=(weight,))


def test_a_label_with_two_weights_is_refused():
    with pytest.raises(ValidationError, match="a label has two weights; give it one"):
        TrainParameters(label_weights=("x=1", "x=2"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order", 0),
        ("order", 9),
        ("additive", 0.0),
        ("additive", float("nan")),
        ("smoothing", "good_turing"),
        ("level", "bytes"),
        ("min_count", 0),
        ("max_vocabulary", 99),
        ("validation_split", 0.6),
        ("units", 3),
    ],
)
def test_a_parameter_out_of_range_is_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        TrainParameters.model_validate({name: value})


def test_a_training_reports_its_steps_and_one_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("seqd_markov.corpus.CHUNK_CHARACTERS", 3)
    context = MemoryTrainContext(tmp_path / "new", TextDataset("abab ab", "a test"))

    Markov().train(TrainParameters(), context)

    assert [(step.done, step.total) for step in context.steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [(report.epoch, report.epochs) for report in context.epochs] == [(1, 1)]


def test_the_same_text_gives_the_same_bytes(tmp_path):
    first, second = (
        a_version(tmp_path / str(number), SENTENCES, model=MarkovWords()) for number in range(2)
    )

    assert first.manifest.files == second.manifest.files


def test_the_files_have_the_permissions_of_a_file_made_by_the_user(tmp_path):
    context = MemoryTrainContext(tmp_path / "new", TextDataset("abab", "a test"))
    (tmp_path / "plain").write_bytes(b"")

    Markov().train(TrainParameters(), context)

    modes = {path.stat().st_mode for path in context.folder.iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


@pytest.mark.parametrize("questions", range(3))
def test_a_stop_ends_the_training_without_a_version(tmp_path, questions):
    context = MemoryTrainContext(tmp_path, TextDataset("abab", "a test"), stop_after=questions)

    with pytest.raises(Stopped, match=r"The counting was stopped before its end"):
        Markov().train(TrainParameters(), context)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [Markov(), MarkovWords()])
@pytest.mark.parametrize(
    ("text", "size", "different"), [("a", 1, 1), ("aaa", 3, 1), ("\n \n", 3, 2)]
)
def test_a_text_of_one_character_or_of_blanks_cannot_be_learnt_from(
    tmp_path, model, text, size, different
):
    with pytest.raises(InvalidData) as raised:
        a_version(tmp_path, text, model=model)

    assert str(raised.value) == (
        f"The text has {size} characters, {different} of them different; a chain needs 2 different "
        "ones at least, and something else than spaces. Give a longer text."
    )


def test_a_held_out_text_of_blanks_is_refused_by_its_name(tmp_path):
    with pytest.raises(InvalidData, match="The held-out text has 2 characters, 1 of them"):
        a_version(tmp_path, "abab", "  ")


def test_a_text_of_control_characters_has_no_words(tmp_path):
    with pytest.raises(InvalidData, match="The text has 2 characters"):
        a_version(tmp_path, "\x00\x01", model=MarkovWords())
