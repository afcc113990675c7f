"""What a service's own tests get of `seqd.testing.services`: our promises, and failures to order.

The fixtures are those of the plugin.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from plugin_builders import place
from redis_fixtures import Server
from seqd.client import Client
from seqd.errors import (
    InvalidParameters,
    InvalidRequest,
    ItemFailed,
    JobCancelled,
    JobExpired,
    JobFailed,
    RedisUnreachable,
    UnknownModel,
)
from seqd.testing import RunningServices, ServerForTests, StubModel, running_services
from seqd.testing.in_process import worker
from seqd_schemas import (
    FileSource,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
    NamedSource,
    WorkerState,
)
from worker_fixtures import wait_until

pytest_plugins = ["seqd.testing.services"]

pytestmark = pytest.mark.processes


def sentiment(text: str) -> str:
    if text == "raise":
        raise ValueError("not a review")
    return "positive" if "fine" in text else "negative"


def write(prompt: str) -> Iterator[str]:
    yield f"{prompt} and "
    yield "so on"


@pytest.fixture
def seqd_models():
    return {"imdb_lstm": sentiment, "char_lstm": write}


def labels_of(job) -> list[str]:
    return [
        result.output.label if isinstance(result, ItemSuccess) else result.error.code.value
        for result in job.results()
    ]


def test_each_item_has_one_result_in_input_order(seqd_client: Client):
    texts = ["a fine film", "raise", "dreadful", ""] * 300

    job = seqd_client.classify(texts)

    results = list(job.results())
    assert [result.custom_id for result in results] == [f"row-{n + 1}" for n in range(1_200)]
    assert labels_of(job)[:4] == ["positive", "plugin_error", "negative", "invalid_input"]
    assert isinstance(results[1], ItemFailure)
    where = place(Path(__file__), 'raise ValueError("not a review")', "sentiment")
    assert results[1].error.message == f"The model plugin raised ValueError: not a review {where}"
    counts = job.wait().counts
    assert (counts.total, counts.succeeded, counts.errored) == (1_200, 600, 600)
    told = [event.event for event in job.events()]
    assert (told[0], told[1], told[-1]) == ("queued", "started", "completed")


def test_a_request_is_checked_as_the_installed_plugin_would(seqd_client: Client):
    with pytest.raises(InvalidParameters, match="temprature"):
        seqd_client.generate(["x"], parameters={"temprature": 1.0})
    with pytest.raises(UnknownModel, match="imdb_lst"):
        seqd_client.classify(["x"], model="imdb_lst")


def test_a_function_of_two_arguments_gets_the_jobs_parameters(
    seqd_services: RunningServices, seqd_client: Client
):
    seqd_services.serve({"char_lstm": lambda prompt, given: f"{given['length']} characters"})

    job = seqd_client.generate(["x"], parameters={"length": 7, "temperature": [0.5, 1.0]})

    (result,) = job.results()
    assert isinstance(result, ItemSuccess)
    written = [(sample.temperature, sample.text) for sample in result.output.samples]
    assert written == [(0.5, "7 characters"), (1.0, "7 characters")]


def test_a_generators_texts_are_streamed(seqd_client: Client):
    job = seqd_client.generate(["one", "two"], stream=True)

    texts = dict.fromkeys(["row-1", "row-2"], "")
    for delta in job.stream():
        texts[delta.custom_id] += delta.text
    assert texts == {"row-1": "one and so on", "row-2": "two and so on"}


def test_one_text_is_answered_in_one_call(seqd_services: RunningServices, seqd_client: Client):
    code = ItemErrorCode.INVALID_INPUT
    seqd_services.fail_item("dreadful", "not in this language", code=code)

    assert seqd_client.predict("a fine film").label == "positive"
    with pytest.raises(ItemFailed, match="not in this language"):
        seqd_client.predict("dreadful")
    assert labels_of(seqd_client.classify(["dreadful"])) == ["invalid_input"]


def test_an_item_fails_as_often_as_ordered_and_a_retry_succeeds(
    seqd_services: RunningServices, seqd_client: Client
):
    seqd_services.fail_item("a fine film", "the disk is full", times=1)

    job = seqd_client.classify(["a fine film", "b"])

    assert labels_of(job) == ["plugin_error", "negative"]
    retried = seqd_client.retry(job.job_id)
    assert labels_of(retried) == ["positive"]
    merged = list(job.merged_results())
    assert [type(result) for result in merged] == [ItemSuccess, ItemSuccess]


def test_an_item_that_kills_each_worker_is_found_and_the_others_are_computed(
    seqd_services: RunningServices, seqd_client: Client
):
    seqd_services.kill_worker("a fine film", times=None)

    job = seqd_client.classify(["b", "a fine film", "c"])

    assert labels_of(job) == ["negative", "worker_crashed", "negative"]
    failed = list(job.results())[1]
    assert isinstance(failed, ItemFailure)
    assert failed.error.message.endswith(" The test had this worker killed.")


def test_a_job_waits_while_no_worker_is_up_or_it_is_paused(
    seqd_services: RunningServices, seqd_client: Client
):
    with seqd_services.no_worker():
        job, paused = (seqd_client.classify(["a fine film"]) for _ in range(2))
        paused.pause()

        assert seqd_client.workers() == []
        with pytest.raises(TimeoutError):
            job.wait(timeout_s=0.05)
        assert job.record().state is JobState.QUEUED

    assert labels_of(job) == ["positive"]
    assert paused.record().state is JobState.PAUSED
    paused.resume()
    assert labels_of(paused) == ["positive"]


def test_at_an_item_that_is_held_a_job_is_cancelled_or_expires(
    seqd_services: RunningServices, seqd_client: Client
):
    with seqd_services.hold("b") as held:
        job = seqd_client.classify(["a", "b"])
        held.wait_until_reached()
        job.cancel()

        with pytest.raises(JobCancelled):
            job.wait()
    with seqd_services.hold("c"), pytest.raises(JobExpired):
        seqd_client.classify(["c"], expires_in_s=1).wait(timeout_s=120)


def test_who_waits_for_a_held_item_in_vain_is_told(seqd_services: RunningServices):
    held = seqd_services.hold("b")

    with pytest.raises(TimeoutError, match=r"^no worker has come to the item within 0.01 s$"):
        held.wait_until_reached(0.01)


@pytest.mark.slow
def test_work_in_hand_outlives_a_server_that_goes_away(
    seqd_services: RunningServices, seqd_client: Client
):
    with seqd_services.hold("a fine film") as held:
        job = seqd_client.classify(["a fine film"])
        held.wait_until_reached()
        with seqd_services.no_redis():
            held.release()
            with pytest.raises(RedisUnreachable), seqd_services.client(outage_s=0) as client:
                client.classify(["b"])

    assert labels_of(job) == ["positive"]


def test_a_server_that_the_tests_have_not_started_cannot_be_away(redis_server: Server):
    with (
        running_services(redis_url=redis_server.url) as services,
        pytest.raises(InvalidRequest) as raised,
        services.no_redis(),
    ):
        pass

    assert str(raised.value) == (
        "Only a server that the tests have started can be away, and this one was named by "
        "--seqd-redis-url or `redis_url`."
    )


def test_an_item_is_as_slow_as_ordered(seqd_services: RunningServices, seqd_client: Client):
    seqd_services.slow(0.15, "b", times=1)
    began = time.monotonic()

    labels_of(seqd_client.classify(["a", "b"]))

    assert time.monotonic() - began >= 0.15


def test_a_training_makes_a_version_with_the_figures_that_its_function_gives(
    seqd_services: RunningServices, seqd_client: Client
):
    model = StubModel(
        classify=sentiment,
        train=lambda records: {"validation_accuracy": 0.5, "records": float(len(records))},
    )
    seqd_services.serve({"imdb_lstm": model})
    data = [{"text": "a", "label": "positive"}, {"text": "b", "label": "negative"}]
    seqd_services.kill_worker()  # and the training goes on

    job = seqd_client.train(data, model="imdb_lstm", preset="fast", labels=["candidate"])

    training = job.wait().training
    assert training is not None
    assert (training.version, training.metrics["records"]) == (2, 2.0)
    assert "epoch" in [event.event for event in job.events()]
    assert seqd_client.catalog()["imdb_lstm"].labels["candidate"] == 2
    done = seqd_client.model("imdb_lstm").promote(2)
    assert (done.before, done.in_service) == (1, 2)
    served = seqd_client.classify(["fine"])
    assert labels_of(served) == ["positive"]
    assert served.record().version == 2


def test_a_training_on_data_that_a_plugin_knows_by_name_is_taken(seqd_client: Client):
    job = seqd_client.train(NamedSource(name="keras:imdb"), model="imdb_lstm")

    assert job.wait().training is not None


def test_what_a_trainings_function_raises_fails_the_job(
    seqd_services: RunningServices, seqd_client: Client
):
    def train(records):
        raise ValueError("nothing to learn")

    seqd_services.serve({"imdb_lstm": StubModel(train=train)})

    job = seqd_client.train([{"text": "a", "label": "x"}], model="imdb_lstm")

    with pytest.raises(JobFailed, match="Training imdb_lstm failed: ValueError: nothing to learn"):
        job.wait()


def test_a_file_that_workers_read_is_read(seqd_client: Client, tmp_path):
    file = tmp_path / "reviews.txt"
    file.write_text("a fine film\ndreadful\n")

    job = seqd_client.classify(FileSource(path=str(file)))

    assert labels_of(job) == ["positive", "negative"]


def test_a_model_that_no_plugin_brings_takes_all_tasks_of_its_functions(
    seqd_services: RunningServices, seqd_client: Client
):
    seqd_services.serve({"mine": StubModel(classify=str.upper)})

    assert labels_of(seqd_client.classify(["a"], model="mine")) == ["A"]
    assert sorted(seqd_client.catalog()["mine"].tasks) == ["classify", "train"]
    assert labels_of(seqd_client.classify(["fine"])) == ["positive"]


def test_what_is_no_function_is_refused_with_an_example(seqd_services: RunningServices):
    with pytest.raises(TypeError) as raised:
        seqd_services.serve({"imdb_lstm": "positive"})  # type: ignore[dict-item]

    assert str(raised.value) == (
        "A model is a function of a text, or a StubModel; this is 'positive'. Such as "
        '{"imdb_lstm": lambda text: "positive"}.'
    )


def test_nothing_is_left_behind(redis_server: Server):
    threads, variables = threading.active_count(), dict(os.environ)
    with redis.Redis.from_url(redis_server.url) as connection:
        with running_services({"imdb_lstm": sentiment}, redis_url=redis_server.url) as services:
            with Client() as client:  # finds the tests' server
                labels_of(client.classify(["a"] * 2_000))
            folder, prefix = services.settings.data_dir, services.settings.prefix
            assert list(connection.scan_iter(f"{prefix}:*"))

        assert list(connection.scan_iter(f"{prefix}:*")) == []
    assert not folder.exists()
    assert dict(os.environ) == variables
    wait_until(lambda: threading.active_count() <= threads, "the threads have ended")


def test_a_variable_that_is_set_meanwhile_stays(
    seqd_server: ServerForTests, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SEQD_PREFIX", "mine")
    monkeypatch.delenv("ANOTHER", raising=False)

    with running_services(server=seqd_server) as services:
        assert os.environ["SEQD_PREFIX"] == services.settings.prefix
        monkeypatch.setenv("ANOTHER", "1")

    assert (os.environ["SEQD_PREFIX"], os.environ["ANOTHER"]) == ("mine", "1")


def test_a_worker_that_has_just_worked_ends_without_a_wait_for_another_wakeup(
    seqd_services: RunningServices,
    seqd_client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    # Longer than a worker may take to end.
    monkeypatch.setattr(worker, "LISTEN_S", 6 * worker.CLOSE_S)
    assert seqd_client.predict("a fine film", model="imdb_lstm").label == "positive"

    def waits_for_more() -> bool:
        return [(one.state, one.work.items) for one in seqd_client.workers()] == [
            (WorkerState.READY, 1)
        ]

    wait_until(waits_for_more, "it waits for more work")

    seqd_services.stop_worker()

    assert "seqd-rule watch" not in {one.name for one in threading.enumerate()}
    assert caplog.messages == []


def test_two_at_once_do_not_see_each_other(redis_server: Server):
    with (
        running_services({"imdb_lstm": lambda text: "one"}, redis_url=redis_server.url) as one,
        running_services({"imdb_lstm": lambda text: "two"}, redis_url=redis_server.url) as two,
        one.client() as first,
        two.client() as second,
    ):
        assert labels_of(first.classify(["a"])) == ["one"]
        assert labels_of(second.classify(["a"])) == ["two"]
        assert len(first.jobs()) == 1


def test_a_server_of_its_own_is_started_and_ends_with_it():
    with running_services({"imdb_lstm": sentiment}) as services, services.client() as client:
        assert labels_of(client.classify(["fine"])) == ["positive"]
        url = services.redis_url

    with pytest.raises(redis.exceptions.ConnectionError), redis.Redis.from_url(url) as connection:
        connection.ping()
