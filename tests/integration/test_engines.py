"""The recipes of schemas/engines.md, each run in its engine as a program; and `--engine ray`.

`make test-engines` has an environment with all of them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from checkout import python_path
from readme_blocks import ROOT, blocks_of
from seqd_schemas import Counts, JobState
from worker_fixtures import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]

#: Each row four times: two with an output, two with an error.
TEXTS = ["A wonderful film, moving and acted well.", "Dull, and a waste of two hours.", None, ""]
ROWS = 400

RECIPES = {"ray": "import ray", "dask": "import dask", "pyspark": "from pyspark"}


def recipe_of(library):
    """Return the program of the page that begins with the import of a library."""
    programs = blocks_of(ROOT / "schemas" / "engines.md", "python")
    (text,) = [one.text for one in programs if one.text.startswith(RECIPES[library])]
    return text


@pytest.mark.parametrize("library", RECIPES)
def test_a_recipe_gives_each_row_once_with_its_label_or_its_error(library, tmp_path):
    pytest.importorskip(library, reason=f"{library} is not installed: make test-engines")
    if library == "pyspark" and shutil.which("java") is None:
        pytest.skip("java is not installed: apt-get install default-jre-headless")
    rows = {"id": list(range(ROWS)), "text": TEXTS * (ROWS // len(TEXTS))}
    pq.write_table(pa.table(rows), tmp_path / "reviews.parquet", row_group_size=100)

    # Ray and Spark tell their processes which Python it is; none of them is to be in a clone.
    variables = {"PYTHONPATH": python_path(), "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, "-c", recipe_of(library)],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
        env=os.environ | variables,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-5_000:]
    made = pq.read_table(tmp_path / f"by_{library.removeprefix('py')}").sort_by("id").to_pylist()
    assert [one["id"] for one in made] == list(range(ROWS))
    assert [one["label"] for one in made[:4]] == ["positive", "negative", None, None]
    codes = [one["error_code"] for one in made]
    assert codes == [None, None, "invalid_input", "invalid_input"] * (ROWS // len(TEXTS))


#: Of a file for Ray: some units, of which a node has a few when it is killed.
LINES = 20_000

#: What of a command is a file or a folder.
PLACES = ("reviews.jsonl", "out")


@pytest.fixture
def on_ray(empty_cluster, tmp_path, monkeypatch):
    """A command that has Ray classify a file, where there is a daemon of which it is a client."""
    pytest.importorskip("ray", reason="ray is not installed: make test-engines")
    texts = [{"custom_id": f"r{n}", "text": TEXTS[n % 4]} for n in range(LINES)]
    (tmp_path / "reviews.jsonl").write_text("\n".join(map(json.dumps, texts)))
    settings = empty_cluster.settings_of("client")
    for name, value in {
        "SEQD_REDIS_URL": settings.redis_url,
        "SEQD_PREFIX": settings.prefix,
        "SEQD_LEASE_S": "10",
        "SEQD_HEARTBEAT_S": "5",
        "PYTHONPATH": python_path(),  # which nodes give to their processes
    }.items():
        monkeypatch.setenv(name, value)
    return [
        sys.executable, "-m", "seqd", "classify", "reviews.jsonl", "--model", "imdb_lstm@0",
        "--output-folder", "out", "--engine", "ray", "--tenant", "acme",
    ]  # fmt: skip


def test_a_node_of_ray_that_is_killed_costs_no_line_and_doubles_none(
    on_ray, empty_cluster, tmp_path
):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        command = [*on_ray, "--address", cluster.address]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
            wait_until(lambda: len([*tmp_path.glob("out/part-*")]) >= 3, "some units are done")
            cluster.remove_node(nodes[0], allow_graceful=False)
            said = running.communicate(timeout=300)[1]
    finally:
        cluster.shutdown()

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    parts = [(tmp_path / "out" / part["name"]).read_text() for part in manifest["parts"]]
    lines = [json.loads(line) for part in parts for line in part.splitlines()]
    assert running.returncode == 2, said  # half of the lines hold no text
    assert [line["custom_id"] for line in lines] == [f"r{n}" for n in range(LINES)]
    assert (manifest["succeeded"], manifest["errors"]) == (
        LINES // 2,
        {"invalid_input": LINES // 2},
    )
    client = empty_cluster.client()
    (record,) = client.jobs()
    assert (record.job_id, record.state) == (manifest["job_id"], JobState.COMPLETED)
    assert (record.model, record.version, record.tenant) == ("imdb_lstm", 0, "acme")
    assert record.counts == Counts(total=LINES, succeeded=LINES // 2, errored=LINES // 2)
    results = client.job(record.job_id).results()
    assert [result.custom_id for result in results] == [f"r{n}" for n in range(LINES)]

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    with (tmp_path / "reviews.jsonl").open("a") as file:
        file.write('\n{"text": "One more."}\n')
    of_another = subprocess.run(
        [*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    folder = tmp_path / "out"
    assert again.stderr == (
        f"error[output_exists]: {folder} holds results. Name a new folder; or have the same "
        "command, on the same file, go on with it: --resume\n"
    )
    assert of_another.stderr == (
        f"error[output_exists]: {folder} holds the results of another file, model or option. Name "
        "a new folder\n"
    )


def test_a_file_in_a_bucket_is_a_job_of_the_ledger_whose_parts_are_there(
    on_ray, empty_cluster, bucket, tmp_path
):
    bucket.put("reviews.jsonl", (tmp_path / "reviews.jsonl").read_bytes())
    command = [f"{bucket.url}/{name}" if name in PLACES else name for name in on_ray]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 2, done.stderr  # half of the lines hold no text
    manifest = json.loads(bucket.read("out/manifest.json"))
    parts = [bucket.read(f"out/{part['name']}") for part in manifest["parts"]]
    lines = [json.loads(line) for part in parts for line in part.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"r{n}" for n in range(LINES)]
    (record,) = empty_cluster.client().jobs()
    assert (record.job_id, record.state) == (manifest["job_id"], JobState.COMPLETED)
    assert record.counts == Counts(total=LINES, succeeded=LINES // 2, errored=LINES // 2)


def test_a_job_of_ray_is_cancelled_by_others_and_fails_with_its_process_and_goes_on(
    on_ray, empty_cluster, tmp_path
):
    empty_cluster.start_ready()
    client, command = empty_cluster.client(), [*on_ray, "--resume"]

    def run_until(act):
        """Run the command, and act on it once some units are done; return how all ended."""
        known = len(client.jobs())
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as running:  # fmt: skip
            try:
                wait_until(
                    lambda: len(jobs := client.jobs()) > known and jobs[0].units_done >= 2,
                    "some of its units are done",
                )
                act(running, client.jobs()[0].job_id)
                said = running.communicate(timeout=120)[0]
                wait_until(lambda: client.jobs()[0].state.is_terminal, "the job has ended")
            finally:
                with suppress(ProcessLookupError):  # what a killed one leaves of Ray, too
                    os.killpg(running.pid, signal.SIGKILL)
        return running.returncode, said, client.jobs()[0]

    cancelled = run_until(lambda running, job_id: client.job(job_id).cancel())
    interrupted = run_until(lambda running, job_id: running.send_signal(signal.SIGINT))
    killed = run_until(lambda running, job_id: running.kill())
    whole = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert cancelled[0] == 1 and f"Job {cancelled[2].job_id} was cancelled" in cancelled[1]
    assert interrupted[0] == 130 and f"Cancelled job {interrupted[2].job_id} with" in interrupted[1]
    assert "Go on: the same command with --resume." in interrupted[1]
    assert killed[2].failure.code == "lease_lost"
    states = [record.state for record in client.jobs()]
    assert states == ["completed", "failed", "cancelled", "cancelled"]
    assert whole.returncode == 2, whole.stderr  # half of the lines hold no text
    record = client.jobs()[0]
    assert record.counts == Counts(total=LINES, succeeded=LINES // 2, errored=LINES // 2)
