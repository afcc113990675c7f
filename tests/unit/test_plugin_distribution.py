"""Which plugins are where: what workers lack, and what to install there."""

import json

import pytest

from builders import a_worker_status
from seqd.cli.plugins.distribution import differences, sources
from seqd.doctor.plugin_places import fleet_of
from seqd.views.plugins import Holding, holdings
from seqd_schemas import PluginState, PluginStatus, WorkerStatus


def a_plugin(name: str = "hello", version: str = "0.2", **fields: object) -> PluginStatus:
    known = {"distribution": f"seqd-{name}", "state": PluginState.READY, "models": (name,)}
    return PluginStatus.model_validate({"name": name, "version": version, **known, **fields})


def a_worker(name: str, *plugins: PluginStatus) -> WorkerStatus:
    return a_worker_status(worker=name, plugins=(MARKOV, *plugins))


MARKOV = a_plugin("markov", distribution="seqd")


def test_a_plugin_is_listed_by_version_and_state_with_the_workers_that_have_it_so():
    broken = a_plugin(state=PluginState.BROKEN, reason="no libfoo", models=())
    workers = [a_worker("a", a_plugin()), a_worker("b", broken), a_worker("c"), a_worker("d")]

    assert holdings(fleet_of(workers)) == [
        Holding("hello", "0.2", "ready", ("a",)),
        Holding("hello", "0.2", "broken", ("b",), "no libfoo"),
        Holding("hello", "", "absent", ("c", "d")),
        Holding("markov", "0.2", "ready", ("a", "b", "c", "d")),
    ]


def test_nothing_is_said_to_be_missing_on_a_worker_that_does_not_say_what_it_has():
    drained = a_worker_status(worker="b", plugins=())

    assert differences([a_plugin()], [a_worker("a", a_plugin()), drained]) == []
    assert holdings(fleet_of([drained]), ["hello"]) == []


def test_a_plugin_that_some_workers_lack_is_named_with_the_command_that_installs_it():
    workers = [a_worker("a", a_plugin()), *(a_worker(name) for name in "bcdef")]

    assert differences([], workers) == [
        "The plugin hello is missing on b, c, d and 2 more. Install it there: `pip install "
        "seqd-hello==0.2`. Then restart them; those of `seqd up`: `seqd workers restart`."
    ]


def test_plugins_of_one_distribution_are_one_sentence():
    more = a_plugin("bye", distribution="seqd-hello")

    assert differences([a_plugin(), more], [a_worker("a")]) == [
        "The plugins bye, hello are missing on a. Install it there: `pip install "
        "seqd-hello==0.2`. Then restart it; those of `seqd up`: `seqd workers restart a`."
    ]


def test_one_without_a_distribution_is_to_be_brought_there():
    loose = a_plugin(distribution="(none)", version="")

    (said,) = differences([loose], [a_worker("a")])

    assert said.startswith(
        "The plugin hello is missing on a. It comes from no distribution: bring its module"
    )


def test_another_version_on_a_worker_than_here_is_named_with_both():
    workers = [a_worker("a", a_plugin(version="0.1")), a_worker("b", a_plugin())]

    assert differences([a_plugin()], workers) == [
        "seqd-hello has the version 0.2 here, and 0.1 on a. For one version everywhere: `pip "
        "install seqd-hello==0.2` there. Then restart it; those of `seqd up`: `seqd workers "
        "restart a`."
    ]


def test_a_plugin_of_seqd_that_only_workers_of_the_release_before_have_is_missing_nowhere():
    old = [a_plugin("markov", "0.1", distribution="seqd"), a_plugin("gone", distribution="seqd")]
    workers = [a_worker_status(worker="a", plugins=old), a_worker("b")]

    (said,) = differences([MARKOV], workers)

    assert said.startswith("seqd has the version 0.2 here, and 0.1 on a. ")


def test_one_that_is_installed_editable_here_is_brought_there_as_a_wheel():
    editable = {"seqd-hello": "/home/me/my hello"}
    wheel = "make its wheel here, `pip wheel --no-deps '/home/me/my hello'`, and install that there"

    (lacks,) = differences([a_plugin()], [a_worker("a")], editable)
    (older,) = differences([a_plugin()], [a_worker("a", a_plugin(version="0.1"))], editable)

    assert lacks.startswith(
        f"The plugin hello is missing on a. To have it there, {wheel}. Then restart it;"
    )
    assert f"0.1 on a. For one version everywhere, {wheel}. Then restart it;" in older


def test_workers_of_this_machine_started_before_what_is_installed_on_it():
    old = a_plugin("old", version="0.3")
    here = [MARKOV, a_plugin(), old]
    ours = a_worker("a", a_plugin("old")).model_copy(update={"host": "this"})

    assert differences(here, [ours, a_worker("b", a_plugin(), old)], host="this") == [
        "a started before hello, old were installed here: `seqd workers restart --wait`."
    ]
    here = [MARKOV, a_plugin(), a_plugin("old")]
    late, lacking, *_ = differences(here, [ours, a_worker("b")], host="this")
    assert late == "a started before hello was installed here: `seqd workers restart --wait`."
    assert lacking.startswith("The plugin hello is missing on b. Install it there: ")


def test_workers_of_this_machine_have_what_was_removed_from_it_until_they_are_restarted():
    ours = [a_worker(name, a_plugin()).model_copy(update={"host": "this"}) for name in ("a", "b")]

    assert differences([MARKOV], [*ours, a_worker("c")], host="this") == [
        "hello is not installed here, and a, b of this machine have it until `seqd workers restart "
        "--wait`."
    ]


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (
            {"url": "file:///home/me/my%20hello", "dir_info": {"editable": True}},
            "/home/me/my hello",
        ),
        ({"url": "file:///home/me/hello", "dir_info": {}}, None),
        ([], None),
    ],
)
def test_an_editable_distribution_is_told_with_its_folder(tmp_path, monkeypatch, record, source):
    info = tmp_path / "seqd_hello-0.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: seqd-hello\nVersion: 0.2\n")
    (info / "direct_url.json").write_text(json.dumps(record))
    monkeypatch.syspath_prepend(tmp_path)

    found = sources([a_plugin(), a_plugin("gone")])

    assert found == ({} if source is None else {"seqd-hello": source})
