"""`seqd models add`: weights that were made elsewhere come into the store, or nothing does."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import Ended, here
from plugin_folders import install_plugin
from seqd.models.disk import exclusive
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from seqd_schemas import VersionOrigin
from store_builders import files_of, publish
from worker_fixtures import wait_until

WEIGHTS_PLUGIN = Path(__file__).parents[1] / "weights_plugin"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store beside a plugin whose models are not trained, and a folder of weights."""
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "weights")
    monkeypatch.setenv("PYTHONPATH", python_path(WEIGHTS_PLUGIN))
    monkeypatch.syspath_prepend(str(WEIGHTS_PLUGIN))
    monkeypatch.chdir(tmp_path)
    words_in("made", cat="animal")
    return ModelStore(load_settings().store_dir, {})


def words_in(folder: str, **words: str) -> None:
    """Write a folder of weights for `words`."""
    Path(folder).mkdir()
    (Path(folder) / "words.json").write_text(json.dumps(words))


def add(capsys: Capture, *arguments: str) -> Ended:
    """Add weights that nothing loads for a trial."""
    return here(capsys, "models", "add", *arguments, "--no-load")


def lines_of(shown: Ended) -> set[str]:
    """Return the lines that were printed, with one space between words."""
    return {" ".join(line.split()) for line in shown.out.splitlines()}


def test_weights_that_the_plugin_loads_are_the_first_version_and_in_service(store, capsys):
    added = here(capsys, "models", "add", "made", "--plugin", "words")

    assert added.out == "words@1 is in the model store, and in service.\n"
    manifest = store.open("words", 1).manifest
    assert (manifest.data.description, manifest.plugin_version) == ("made elsewhere", "1.0")
    assert manifest.origin is not None
    assert (manifest.origin.added_from, manifest.job_id) == ("made", None)
    assert Path("made/words.json").is_file()


def test_a_trial_needs_no_other_plugin_that_is_required_here(store, capsys, monkeypatch):
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "weights,markov")
    monkeypatch.setenv("SEQD_REQUIRED_PLUGINS", "markov")

    added = here(capsys, "models", "add", "made", "--plugin", "words")

    assert added.out == "words@1 is in the model store, and in service.\n"


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("trick", "timeout_s", "told"),
    [
        (
            "raise",
            "60",
            r"cannot load these files: ValueError: these words were made to break when they are "
            r"loaded \(seqd_weights\.py, line \d+, in load_words\)\. Nothing is changed\. Mend the "
            r"files or the plugin; --no-load takes them without a trial\n",
        ),
        pytest.param("write", "60", r"changes the files that it loads: .*cache.json", marks=slow),
        pytest.param("exit", "60", r".*: SystemExit: 3 \(seqd_weights.py, line ", marks=slow),
        pytest.param("die", "60", r".*: its process ended with status 9\. ", marks=slow),
        pytest.param(
            "hang", "5", r".*: not within 5 s; it stood in seqd_weights\.py, line ", marks=slow
        ),
        pytest.param(
            "warm_up", "60", r".* made to break when they are warmed up \(seqd_", marks=slow
        ),
    ],
)
def test_weights_that_break_the_plugin_never_get_in_and_their_line_is_told(
    store, capsys, trick, timeout_s, told
):
    words_in("bad", trick=trick)

    adding = ("models", "add", "bad", "--plugin", "words")
    refused = here(capsys, *adding, "--load-timeout", timeout_s)

    assert refused.status == 1
    assert re.match(rf"error\[plugin_fault\]: words {told}", refused.err), refused.err
    assert files_of(store.folder_of("words").parent) == {}
    assert store.staged() == []


def test_an_archive_that_breaks_the_plugin_gets_in_without_a_trial_alone(store, capsys):
    words_in("bad", trick="raise")
    add(capsys, "bad", "--plugin", "words")
    here(capsys, "models", "export", "words@1", "words.tar")

    refused = here(capsys, "models", "import", "words.tar", "--as", "topics")
    forced = here(capsys, "models", "import", "words.tar", "--as", "subjects", "--no-load")

    assert refused.status == 1
    assert refused.err.startswith("error[plugin_fault]: words cannot load these files: ValueError")
    assert (store.numbers("topics"), store.staged()) == ([], [])
    assert forced.out == "subjects@1 is in the model store, and in service.\n"


def test_a_later_version_waits_to_be_promoted_and_the_same_files_are_found(store, capsys):
    words_in("more", dog="animal")
    add(capsys, "made", "--plugin", "words", "--as", "topics")
    more = ("more", "--plugin", "words", "--as", "topics", "--metric", "accuracy=0.9")

    later = add(capsys, *more)
    again = add(capsys, *more, "--json")
    other = add(capsys, *more[:-1], "accuracy=0.8")

    assert later.out == (
        "topics@2 is in the model store, and not in service.\n"
        "To put it there: seqd models promote topics@2\n"
    )
    assert again.json() == {"model": "topics", "version": 2, "is_new": False, "in_service": 1}
    assert other.out.splitlines()[0].startswith("topics@2 is already in the model store, and not ")
    assert " ".join(other.out.split()).endswith(
        "A version does not change: what --metric, --library and --notes say is not taken over. To "
        "say it, take topics@2 out and add it again."
    )
    assert [one.metrics for one in store.versions("topics")] == [{}, {"accuracy": 0.9}]


def test_a_version_beside_one_that_is_built_in_is_a_later_one(store, capsys):
    added = add(capsys, "made", "--plugin", "rule")
    shown = here(capsys, "models", "show", "rule", "--local")
    exported = here(capsys, "models", "export", "rule@0", "rule.tar")

    assert added.out.startswith("rule@1 is in the model store, and not in service.\n")
    assert {
        "made built in",
        "size no files but the plugin's code, seqd_weights.py",
        "data none: the code is the model",
        "came from the plugin, with which it is installed and upgraded",
        "0 (production) built in",
    } <= lines_of(shown)
    assert exported.err == (
        "error[invalid_request]: rule@0 is built in: it is the code of the plugin 'weights', and "
        "has no files to export. Install that plugin on the other machine, which brings it along\n"
    )
    assert not Path("rule.tar").exists()


def test_what_is_said_of_a_version_stands_on_its_card_and_goes_along_when_it_is_exported(
    store, capsys
):
    said = ("--metric", "accuracy=0.91", "--library", "torch=2.9", "--notes", "from the cluster")
    add(capsys, "made", "--plugin", "words", *said)

    shown = here(capsys, "models", "show", "words", "--local")
    here(capsys, "models", "export", "words@1", "words.tar")
    here(capsys, "models", "import", "words.tar", "--as", "topics")

    assert {
        "data made elsewhere",
        "came from added from a folder made",
        "notes from the cluster",
        "libraries torch 2.9",
        "accuracy 0.9100",
    } <= lines_of(shown)
    assert store.open("topics", 1).manifest.origin == VersionOrigin(
        added_from="made", notes="from the cluster", imported_from="words@1"
    )


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_no_archive_and_is_not_waited_for(store, capsys, kind):
    path = Path("/dev/zero" if kind == "device" else "words.tar")
    if kind == "pipe":
        os.mkfifo(path)

    refused = here(capsys, "models", "import", str(path))

    assert (refused.status, refused.err) == (
        2,
        f"error[invalid_data]: {path} is a folder, a pipe or a device; allowed: an archive of "
        "`seqd models export`, which is a regular file\n",
    )


def test_a_folder_of_a_version_brings_what_its_manifest_says(store, capsys):
    publish(store, "topics", "words", metrics={"loss": 0.5}, parameters={"seed": 3})

    added = add(capsys, "data/models/topics/1", "--plugin", "words", "--metric", "accuracy=0.9")

    assert added.status == 0
    manifest = store.open("words", 1).manifest
    assert manifest.metrics == {"loss": 0.5, "accuracy": 0.9}
    assert manifest.parameters == {"seed": 3}
    assert manifest.origin is not None
    assert manifest.origin.imported_from == "topics@1"


def test_a_manifest_that_is_another_plugins_or_of_other_files_is_refused(store, capsys):
    publish(store, "topics", "words")
    folder = Path("data/models/topics/1")

    other = add(capsys, str(folder), "--plugin", "rule")
    (folder / "echo.json").unlink()
    (folder / "echo.json").write_text("{}")
    changed = add(capsys, str(folder), "--plugin", "words")
    (folder / "more.json").write_text("{}")
    more = add(capsys, str(folder), "--plugin", "words")

    assert other.err == (
        f"error[invalid_input]: {folder}/manifest.json is of a version of words, not of rule. Name "
        "that plugin's model, or remove manifest.json where the files are of rule\n"
    )
    assert f"{folder}/echo.json is not the file that manifest.json beside it names" in changed.err
    assert f"{folder} is not what its manifest.json says: more.json is in one of" in more.err
    assert store.models() == ["topics"]


def a_large_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**43)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (None, "invalid_input]: there is no folder new\n"),
        (
            (),
            "invalid_input]: new has no file of a version in it; allowed: .safetensors, .json, "
            ".onnx, 64 files at most\n",
        ),
        (("manifest.json",), "invalid_input]: new has no file of a version in it; "),
        (
            ("model.keras", "words.pkl"),
            "invalid_input]: new has 'model.keras' and 1 more, which no version may hold: allowed "
            "endings: .safetensors, .json, .onnx. Such files may run code when they are loaded, or "
            "are no data of a model. Save weights as .safetensors or .onnx, all else as .json, in "
            "a folder of their own\n",
        ),
        (
            ("link.json",),
            "invalid_input]: new has 'link.json', which no version may hold: it is no regular "
            "file; links, folders and devices are refused. Put the files themselves into one "
            "folder, under names that are allowed\n",
        ),
        (
            [f"{number}.json" for number in range(65)],
            "invalid_input]: new has 65 files; allowed: 64 at most. Put the weights into fewer "
            "files\n",
        ),
        (
            ("a.json", "manifest.json"),
            "invalid_input]: new/manifest.json is not a manifest: model: Field required. Each "
            "version has a file of that name: rename this one, or remove it\n",
        ),
        (("large.safetensors",), "store_unwritable]: new has 8,796,093,022,208 bytes, and "),
    ],
    ids=["none", "empty", "manifest", "endings", "link", "many", "no manifest", "no room"],
)
def test_a_folder_that_is_no_version_is_refused(store, capsys, files, told):
    for name in files or ():
        path = Path("new") / name
        path.parent.mkdir(exist_ok=True)
        if name == "link.json":
            path.symlink_to("/etc/hostname")
        elif name == "large.safetensors":
            a_large_file(path)
        else:
            path.write_text("{}")
    if files == ():
        Path("new").mkdir()

    refused = add(capsys, "new", "--plugin", "words")

    assert refused.err.startswith(f"error[{told}")
    assert files_of(Path("data/models")) == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--plugin", "wrods"), "unknown_model]: no model named 'wrods'. Ready here: learner, "),
        (
            ("--plugin", "weights"),
            "invalid_request]: --plugin is 'weights', which brings several models; allowed: one "
            "of them, learner, rule, words\n",
        ),
        (
            ("--plugin", "learner"),
            "invalid_request]: --plugin is 'learner', whose only task is train: no job runs on a "
            "version of it. Its plugin has to have a task such as classify\n",
        ),
        (
            ("--plugin", "rule", "--as", "words"),
            "model_name_taken]: model 'words' is brought by the plugin 'weights': it takes no "
            "version of rule. Choose another name: --as NAME\n",
        ),
        (
            ("--plugin", "rule", "--as", "topics"),
            "model_name_taken]: model 'topics' is made with words, and a model's plugin never "
            "changes: it takes no version of rule. Choose another name: --as NAME\n",
        ),
        (
            ("--plugin", "words", "--as", "Topics"),
            "invalid_request]: --as is 'Topics'; allowed: up to 40 of a-z 0-9 _ with a letter in "
            "front\n",
        ),
        (
            ("--plugin", "words", "--metric", "accuracy"),
            "invalid_request]: --metric is 'accuracy'; allowed: NAME=VALUE, such as "
            "accuracy=0.91\n",
        ),
        (
            ("--plugin", "words", "--metric", "accuracy=high"),
            "invalid_request]: --metric accuracy is 'high'; allowed: a number, such as "
            "accuracy=0.91\n",
        ),
        (
            ("--plugin", "words", "--metric", "accuracy=nan"),
            "invalid_request]: --metric accuracy is nan; allowed: finite numbers\n",
        ),
        (
            ("--plugin", "words", "--library", "a=1", "--library", "a=2"),
            "invalid_request]: --library a is given twice; give it once\n",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_copied(store, capsys, arguments, told):
    publish(store, "topics", "words")
    before = files_of(Path("data"))

    refused = add(capsys, "made", *arguments)

    assert refused.status == 2
    assert refused.err.startswith(f"error[{told}")
    assert files_of(Path("data")) == before


def test_a_broken_plugin_is_named_where_a_model_is_not_known(store, capsys, tmp_path, monkeypatch):
    install_plugin(tmp_path / "plugins", "cut", "raise ValueError('cut off')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "weights,cut")

    model = add(capsys, "made", "--plugin", "paper")
    plugin = add(capsys, "made", "--plugin", "cut")

    assert model.err.endswith(" What the broken plugin cut brings is not known.\n")
    where = "(seqd_cut.py, line 1, in <module>)"
    assert f"The plugin 'cut' is broken: ValueError: cut off {where}. " in plugin.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number", "status"),
    [("add", signal.SIGINT, 130), ("import", signal.SIGTERM, 143)],
)
def test_a_command_that_is_interrupted_leaves_nothing_in_the_store(
    store, capsys, command, number, status
):
    add(capsys, "made", "--plugin", "words")
    here(capsys, "models", "export", "words@1", "words.tar")
    words_in("more", dog="animal")
    what = ("more", "--plugin", "words", "--no-load") if command == "add" else ("words.tar",)
    # Another writer holds the lock: the command waits with all of its files copied.
    with exclusive(store.folder_of("words")):
        program = subprocess.Popen(
            [sys.executable, "-P", "-m", "seqd", "models", command, *what],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(
            lambda: any((path / "words.json").is_file() for path, _ in store.staged()),
            "its files are copied",
        )
        program.send_signal(number)
        printed, _ = program.communicate(timeout=120)

    assert (program.returncode, printed) == (status, "")
    assert store.staged() == []
    assert store.numbers("words") == [1]
