"""Given a plugin with a task that nobody knew, when it is installed, then all works by its name."""

import pytest

from cli_builders import here
from redis_fixtures import Server, forget_keys
from seqd_schemas import Text
from task_fixtures import TaskCluster
from worker_fixtures import live_settings, publish_file

pytestmark = pytest.mark.processes

PLUGIN = """
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Text


class Parameters(PluginParameters):
    pass


class Letter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: str = Field(max_length=100, description="Who gets it.")
    body: str = Field(max_length=1_000, description="What it says.")


class Loaded(LoadedModel):
    memory_bytes = 1

    def warm_up(self):
        return None

    def run(self, task, items, parameters, context):
        if task == "capitalise":
            return [Text(text=item.text.upper()) for item in items]
        for item in items:
            context.stream(item, 0, "Dear " + item.record.to)
            context.stream(item, 0, ", " + item.record.body)
        return [Text(text=f"Dear {item.record.to}, {item.record.body}") for item in items]


class Shout(Model):
    name = "shout"
    summary = "Writes texts in capitals."
    tasks: ClassVar = {
        "capitalise": TaskSpec(Parameters, output=Text),
        "write": TaskSpec(Parameters, output=Text, input=Letter),
    }

    def load(self, artifact, device):
        return Loaded()


@hookimpl
def seqd_register_models():
    return [Shout()]
"""


class SixthCluster(TaskCluster):
    """A cluster whose workers have a plugin that is written by the test."""

    def publish_models(self, store_dir):
        publish_file(store_dir, "shout", "nothing.json", "{}")


@pytest.fixture
def sixth_cluster(redis_server: Server, tmp_path):
    plugins = tmp_path / "plugins"
    info = plugins / "seqd_shout-1.0.dist-info"
    info.mkdir(parents=True)
    (plugins / "seqd_shout.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: seqd-shout\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[seqd]\nshout = seqd_shout\n")
    settings = live_settings(redis_server, tmp_path)
    settings = settings.model_copy(update={"enabled_plugins": ("shout",)})
    own = SixthCluster(settings, tmp_path)
    own.plugins = plugins
    try:
        yield own
    finally:
        own.close()
        forget_keys(redis_server.url, settings.prefix)


def test_a_task_of_a_new_name_runs_by_client_and_command(sixth_cluster, monkeypatch, capsys):
    sixth_cluster.start_ready()
    client = sixth_cluster.client()

    job = client.run(["quiet", "words"], model="shout", task="capitalise", output=Text)

    assert [result.unwrap().text for result in job.results()] == ["QUIET", "WORDS"]
    assert client.job(job.job_id).record().counts.succeeded == 2

    monkeypatch.setenv("SEQD_REDIS_URL", sixth_cluster.settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", sixth_cluster.settings.prefix)
    ended = here(capsys, "run", "shout", "capitalise", "--text", "quiet", "--json")
    assert (ended.status, ended.json()["output"]["text"]) == (0, "QUIET")


@pytest.mark.slow
def test_the_text_that_a_record_becomes_is_streamed(sixth_cluster):
    sixth_cluster.start_ready()
    letters = [{"to": "Anna", "body": "come"}, {"to": "Bert", "body": "go"}]

    job = sixth_cluster.client().run(letters, model="shout", task="write", output=Text, stream=True)

    deltas = list(job.stream())
    texts = {"row-1": "Dear Anna, come", "row-2": "Dear Bert, go"}
    for name, text in texts.items():
        assert "".join(delta.text for delta in deltas if delta.custom_id == name) == text
    assert [result.unwrap().text for result in job.results()] == list(texts.values())
