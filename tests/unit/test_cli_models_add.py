"""`seqd models add`: weights that were made elsewhere come into the store, or nothing does."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from cli_builders import Ended, here
from plugin_folders import install_plugin
from seqd.errors import InvalidInput, PluginFault
from seqd.hookspecs import Artifact
from seqd.models.disk import exclusive
from seqd.models.made_elsewhere import Statement, add_version, draft_of, read_weights
from seqd.models.store import ModelStore
from seqd.settings import load_settings
from seqd_schemas import VersionOrigin
from store_builders import files_of, publish
from worker_fixtures import wait_until

WEIGHTS_PLUGIN = Path(__file__).parents[1] / "weights_plugin"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
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


def test_weights_that_the_plugin_loads_are_the_first_version_and_in_service(
    store: ModelStore, capsys: Capture
):
    added = here(capsys, "models", "add", "made", "--plugin", "words")

    assert added.out == "words@1 is in the model store, and in service.\n"
    manifest = store.open("words", 1).manifest
    assert (manifest.data.description, manifest.plugin_version) == ("made elsewhere", "1.0")
    assert manifest.origin is not None
    assert (manifest.origin.added_from, manifest.job_id) == ("made", None)
    assert Path("made/words.json").is_file()


def test_weights_that_break_the_plugin_never_get_in_and_their_line_is_told(
    store: ModelStore, capsys: Capture
):
    words_in("bad", trick="raise")

    refused = here(capsys, "models", "add", "bad", "--plugin", "words")

    place = r"\(seqd_weights\.py, line \d+, in load_words\)"
    assert refused.status == 1
    assert re.fullmatch(
        r"error\[plugin_fault\]: words cannot load these files: ValueError: these words were made "
        rf"to break when they are loaded {place}\. Nothing is changed\. Mend the files or the "
        r"plugin; --no-load takes them without a trial\n",
        refused.err,
    )
    assert files_of(store.folder_of("words").parent) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trick", "timeout_s", "told"),
    [
        ("exit", "60", "SystemExit: 3 (seqd_weights.py, line "),
        ("die", "60", "its process ended with status 9. "),
        ("hang", "5", "not within 5 s; it stood in seqd_weights.py, line "),
        (
            "warm_up",
            "60",
            "ValueError: these words were made to break when they are warmed up (seqd_",
        ),
    ],
)
def test_weights_that_end_or_stop_the_process_never_get_in(
    store: ModelStore, capsys: Capture, trick: str, timeout_s: str, told: str
):
    words_in("bad", trick=trick)

    adding = ("models", "add", "bad", "--plugin", "words")
    refused = here(capsys, *adding, "--load-timeout", timeout_s)

    assert refused.err.startswith(f"error[plugin_fault]: words cannot load these files: {told}")
    assert store.models() == []


def test_a_later_version_waits_to_be_promoted_and_the_same_files_are_found(
    store: ModelStore, capsys: Capture
):
    words_in("more", dog="animal")
    add(capsys, "made", "--plugin", "words", "--as", "topics")

    later = add(capsys, "more", "--plugin", "words", "--as", "topics")
    again = add(capsys, "more", "--plugin", "words", "--as", "topics", "--json")

    assert later.out == (
        "topics@2 is in the model store, and not in service.\n"
        "To put it there: seqd models promote topics@2\n"
    )
    assert again.json() == {"model": "topics", "version": 2, "is_new": False, "in_service": 1}
    assert store.numbers("topics") == [1, 2]


def test_what_is_said_of_files_that_are_a_version_already_is_told_not_to_count(
    store: ModelStore, capsys: Capture
):
    words_in("first", hello="greeting")
    same = ("first", "--plugin", "words", "--metric", "accuracy=0.9", "--notes", "by hand")
    add(capsys, *same)

    again = add(capsys, *same)
    other = add(capsys, "first", "--plugin", "words", "--metric", "accuracy=0.8")

    assert again.out == "words@1 is already in the model store, and in service.\n"
    told = (
        "A version does not change: what --metric, --library and --notes say is not taken over. To "
        "say it, take words@1 out and add it again."
    )
    assert other.out.split() == f"{again.out}{told}".split()
    assert store.versions("words")[0].metrics == {"accuracy": 0.9}


def test_a_version_beside_one_that_is_built_in_is_a_later_one(store: ModelStore, capsys: Capture):
    added = add(capsys, "made", "--plugin", "rule")
    promoted = here(capsys, "models", "promote", "rule@1", "--store-only")
    back = here(capsys, "models", "rollback", "rule", "--store-only")
    shown = here(capsys, "models", "show", "rule", "--local")
    exported = here(capsys, "models", "export", "rule@0", "rule.tar")

    assert added.out.startswith("rule@1 is in the model store, and not in service.\n")
    assert promoted.out.startswith("rule@1 is in service, after rule@0.")
    assert back.out.startswith("rule@0 is in service, after rule@1.")
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
    store: ModelStore, capsys: Capture
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


def test_an_archive_that_breaks_the_plugin_never_gets_in(store: ModelStore, capsys: Capture):
    words_in("bad", trick="raise")
    add(capsys, "bad", "--plugin", "words")
    here(capsys, "models", "export", "words@1", "words.tar")

    refused = here(capsys, "models", "import", "words.tar", "--as", "topics")
    forced = here(capsys, "models", "import", "words.tar", "--as", "subjects", "--no-load")

    assert refused.status == 1
    assert refused.err.startswith(
        "error[plugin_fault]: words cannot load these files: ValueError: these words were made to "
    )
    assert store.numbers("topics") == []
    assert store.staged() == []
    assert forced.out == "subjects@1 is in the model store, and in service.\n"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_what_is_no_regular_file_is_no_archive_and_is_not_waited_for(
    store: ModelStore, capsys: Capture, kind: str
):
    path = Path("/dev/zero" if kind == "device" else "words.tar")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))

    refused = here(capsys, "models", "import", str(path))

    assert (refused.status, refused.err) == (
        2,
        f"error[invalid_data]: {path} is a folder, a pipe or a device; allowed: an archive of "
        "`seqd models export`, which is a regular file\n",
    )


def test_a_folder_of_a_version_brings_what_its_manifest_says(store: ModelStore, capsys: Capture):
    publish(store, "topics", "words", metrics={"loss": 0.5}, parameters={"seed": 3})

    added = add(capsys, "data/models/topics/1", "--plugin", "words", "--metric", "accuracy=0.9")

    assert added.status == 0
    manifest = store.open("words", 1).manifest
    assert manifest.metrics == {"loss": 0.5, "accuracy": 0.9}
    assert manifest.parameters == {"seed": 3}
    assert manifest.origin is not None
    assert manifest.origin.imported_from == "topics@1"


def test_a_manifest_that_is_another_plugins_or_of_other_files_is_refused(
    store: ModelStore, capsys: Capture
):
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


def _many(folder: Path) -> None:
    for number in range(65):
        (folder / f"{number}.json").write_text("{}")


def _huge(folder: Path) -> None:
    with (folder / "weights.safetensors").open("wb") as file:
        file.truncate(2**43)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder.rmdir(), "there is no folder new\n"),
        (
            lambda folder: None,
            "new has no file of a version in it; allowed: .safetensors, .json, .onnx, 64 files at "
            "most\n",
        ),
        (
            lambda folder: [(folder / name).touch() for name in ("model.keras", "words.pkl")],
            "new has 'model.keras' and 1 more, which no version may hold: allowed endings: "
            ".safetensors, .json, .onnx. Such files may run code when they are loaded, or are no "
            "data of a model. Save weights as .safetensors or .onnx, all else as .json, in a "
            "folder of their own\n",
        ),
        (
            lambda folder: (folder / "a.json").symlink_to("/etc/hostname"),
            "new has 'a.json', which no version may hold: it is no regular file; links, folders "
            "and devices are refused. Put the files themselves into one folder, under names that "
            "are allowed\n",
        ),
        (
            _many,
            "new has 65 files; allowed: 64 at most. Put the weights into fewer files\n",
        ),
        (
            lambda folder: (folder / "manifest.json").write_text("{}"),
            "new has no file of a version in it; ",
        ),
        (
            lambda folder: [
                (folder / name).write_text("{}") for name in ("a.json", "manifest.json")
            ],
            "new/manifest.json is not a manifest: model: Field required. Each version has a file "
            "of that name: rename this one, or remove it\n",
        ),
    ],
)
def test_a_folder_that_is_no_version_is_refused(store: ModelStore, capsys: Capture, make, told):
    Path("new").mkdir()
    make(Path("new"))

    refused = add(capsys, "new", "--plugin", "words")

    assert refused.status == 2
    assert refused.err.startswith(f"error[invalid_input]: {told}")
    assert not Path("data/models").exists()


def test_a_file_that_the_disk_has_no_room_for_is_not_begun(store: ModelStore, capsys: Capture):
    Path("new").mkdir()
    _huge(Path("new"))

    refused = add(capsys, "new", "--plugin", "words")

    assert refused.err.startswith("error[store_unwritable]: new has 8,796,093,022,208 bytes, and ")
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
def test_what_makes_no_sense_is_refused_before_anything_is_copied(
    store: ModelStore, capsys: Capture, arguments: tuple[str, ...], told: str
):
    publish(store, "topics", "words")
    before = files_of(Path("data"))

    refused = add(capsys, "made", *arguments)

    assert refused.status == 2
    assert refused.err.startswith(f"error[{told}")
    assert files_of(Path("data")) == before


def test_a_broken_plugin_is_named_where_a_model_is_not_known(
    store: ModelStore, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install_plugin(tmp_path / "plugins", "cut", "raise ValueError('cut off')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    monkeypatch.setenv("SEQD_ENABLED_PLUGINS", "weights,cut")

    model = add(capsys, "made", "--plugin", "paper")
    plugin = add(capsys, "made", "--plugin", "cut")

    assert model.err.endswith(" What the broken plugin cut brings is not known.\n")
    where = "(seqd_cut.py, line 1, in <module>)"
    assert f"The plugin 'cut' is broken: ValueError: cut off {where}. " in plugin.err


def test_a_plugin_that_changes_what_it_loads_is_refused(store: ModelStore):
    def writes(artifact: Artifact) -> None:
        (artifact.folder / "cache.json").write_text("{}")

    weights = read_weights(Path("made"))

    with pytest.raises(
        PluginFault, match=r"words changes the files that it loads: .*cache.json is"
    ):
        add_version(store, weights, draft_of(weights, "words", "words", "1.0", Statement()), writes)

    assert store.models() == []
    assert store.staged() == []


def test_a_file_that_goes_while_it_is_added_leaves_nothing_behind(store: ModelStore):
    weights = read_weights(Path("made"))
    Path("made/words.json").unlink()

    with pytest.raises(InvalidInput) as refused:
        add_version(store, weights, draft_of(weights, "words", "words", "1.0", Statement()), None)

    assert str(refused.value) == "made/words.json cannot be read: No such file or directory"
    assert store.staged() == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["add", "import"])
def test_a_command_that_is_interrupted_leaves_nothing_in_the_store(
    store: ModelStore, capsys: Capture, command: str, number: signal.Signals, status: int
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
        printed, _ = program.communicate(timeout=30)

    assert (program.returncode, printed) == (status, "")
    assert store.staged() == []
    assert store.numbers("words") == [1]
