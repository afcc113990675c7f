"""Where Keras is not installed, as with `seqd[serve]`: what needs it says so, and the rest runs.

`tests/images/test_wheel.py` does the same with a wheel and no Keras on the disk.
"""

import sys

import pytest

import seqd_char_lstm.engine
import seqd_char_lstm.learner
import seqd_imdb_lstm.engine
import seqd_imdb_lstm.learner
from char_lstm_builders import a_generator as a_char_lstm
from imdb_builders import a_classifier
from seqd.errors import LibraryMissing, failure_of
from seqd.hookspecs import Device
from seqd.inputs.datasets import NamedDataset, TextDataset
from seqd.testing import CPU, MemoryTrainContext
from seqd.worker.faults import reading_fault, sentence_of, unfit_code
from seqd_char_lstm import CharLstm
from seqd_char_lstm import TrainParameters as CharLstmTraining
from seqd_imdb_lstm import ImdbLstm
from seqd_imdb_lstm import TrainParameters as ImdbTraining
from seqd_schemas import UnfitCode

GPU = Device(slot="gpu:0", kind="gpu")

#: What Python says where `sys.modules` has None for a module.
WHY = "import of keras halted; None in sys.modules"


@pytest.fixture(autouse=True)
def no_keras(monkeypatch):
    for name in ("seqd_char_lstm.network", "seqd_imdb_lstm.network"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        package, _, attribute = name.partition(".")
        monkeypatch.delattr(sys.modules[package], attribute, raising=False)
    for name in ("keras", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def no_numba(monkeypatch):
    for module in (
        seqd_char_lstm.engine,
        seqd_char_lstm.learner,
        seqd_imdb_lstm.engine,
        seqd_imdb_lstm.learner,
    ):
        monkeypatch.setattr(module, "can_compile", lambda: False)


def test_learning_from_windows_says_what_to_install_and_what_to_do_without(tmp_path):
    context = MemoryTrainContext(tmp_path, TextDataset("The cat sat on the mat. " * 20, "a test"))

    with pytest.raises(LibraryMissing) as refused:
        CharLstm().train(CharLstmTraining(mode="window", window=10), context)

    assert str(refused.value) == (
        "char_lstm learns from windows with Keras, on any device, and Keras cannot be imported "
        f"here: {WHY}. Install seqd[cpu] for this worker, or train in mode 'stream', as the "
        "presets fast and best do."
    )
    assert failure_of(refused.value).code == "no_library"


def test_the_data_set_that_comes_with_keras_says_so(tmp_path):
    context = MemoryTrainContext(tmp_path, NamedDataset("keras:imdb"))

    with pytest.raises(LibraryMissing) as refused:
        ImdbLstm().train(ImdbTraining(), context)

    assert str(refused.value) == (
        "The data set keras:imdb comes with Keras, and Keras cannot be imported here: "
        f"{WHY}. Install seqd[cpu] for this worker, or train from a file of reviews."
    )


@pytest.mark.parametrize("device", [CPU, GPU], ids=["a CPU without Numba", "a GPU"])
@pytest.mark.usefixtures("no_numba")
def test_what_is_served_by_keras_says_what_to_install(device):
    with pytest.raises(LibraryMissing) as refused:
        a_classifier(device=device)

    assert str(refused.value) == (
        "imdb_lstm is served by Keras on a GPU, and where there is no Numba, and Keras cannot be "
        f"imported here: {WHY}. Install seqd[serve] for a CPU, seqd[gpu] for a GPU."
    )


@pytest.mark.usefixtures("no_numba")
def test_char_lstm_without_numba_and_keras_says_what_to_install():
    with pytest.raises(LibraryMissing) as refused:
        a_char_lstm()

    assert str(refused.value) == (
        "char_lstm is served by Keras where there is no Numba, and Keras cannot be imported here: "
        f"{WHY}. Install seqd[serve]."
    )


@pytest.mark.usefixtures("no_numba")
def test_streams_without_numba_and_keras_are_refused(tmp_path):
    context = MemoryTrainContext(tmp_path, TextDataset("The cat sat on the mat. " * 99, "a test"))

    with pytest.raises(LibraryMissing, match=r"^char_lstm learns with Keras on a GPU, and where"):
        CharLstm().train(CharLstmTraining(mode="stream", batch_size=4, steps=16), context)


def test_a_worker_tells_it_from_other_faults_and_says_it_as_it_is():
    error = LibraryMissing("X needs Keras.")

    assert reading_fault(error) is UnfitCode.NO_LIBRARY
    assert unfit_code(error, UnfitCode.LOAD_FAILED) is UnfitCode.NO_LIBRARY
    assert sentence_of(error) == "X needs Keras."
