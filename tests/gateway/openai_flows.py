"""The flows of `openai_flows.mjs` by the stock client of Python: it prints the same JSON."""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai as stock
from openai import OpenAI

Told = dict[str, Any]


def client_of(key: str) -> OpenAI:
    base_url = f"{os.environ['GATEWAY']}/v1"
    return OpenAI(base_url=base_url, api_key=os.environ.get(key, key), max_retries=0)


client: Any = client_of("KEY")  # its types know neither our route nor our fields


def awaited(read: Callable[[], Any], is_wanted: Callable[[Any], bool]) -> Any:
    """Return what is read once it is as wanted."""
    while not is_wanted(found := read()):
        time.sleep(0.1)
    return found


def with_status(read: Callable[[], Any], *wanted: str) -> Any:
    """Return the batch or the training once it has one of some statuses."""
    return awaited(read, lambda found: found.status in wanted)


def lines_of(file_id: str) -> list[Told]:
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def files() -> Told:
    names, made = ["one.jsonl", "two.jsonl"], []
    for name in names:
        content = b'{"text": "a fine film"}\n'
        made.append(client.files.create(file=(name, content), purpose="batch"))
    processed = client.files.wait_for_processing(made[0].id)
    listed = list(client.files.list(limit=1))
    content = client.files.content(made[1].id).text
    removed = client.files.delete(made[1].id)
    known = ("bytes", "filename", "purpose", "status")
    return {
        "file": {name: getattr(processed, name) for name in known},
        "listed": [one.filename for one in listed],
        "content": content,
        "is_removed": removed.deleted and len(list(client.files.list())) == 1,
    }


def batches() -> Told:
    def uploaded(name: str) -> str:
        with open(name, "rb") as requests:
            return str(client.files.create(file=requests, purpose="batch").id)

    batch = client.batches.create(
        input_file_id=uploaded("reviews.jsonl"),
        endpoint="/v1/classify",
        completion_window="24h",
        metadata={"order": "17"},
        output_expires_after={"anchor": "created_at", "seconds": 3_600},
        extra_body={"model": "imdb_lstm"},
    )
    ended = with_status(
        lambda: client.batches.retrieve(batch.id), "completed", "failed", "cancelled", "expired"
    )
    output = client.files.retrieve(ended.output_file_id)
    answers, errors = lines_of(ended.output_file_id), lines_of(ended.error_file_id)

    other = client.batches.create(
        input_file_id=uploaded("prompts.jsonl"),  # in the long form
        endpoint="/v1/completions",
        completion_window="24h",
    )
    with_status(lambda: client.batches.retrieve(other.id), "in_progress")
    cancelled = client.batches.cancel(other.id)
    listed = [one.id for one in client.batches.list(limit=1)]
    return {
        "batch": {
            "status": ended.status,
            "request_counts": ended.request_counts.to_dict(),
            "metadata": ended.metadata,
        },
        "kept_s": output.expires_at - ended.completed_at,
        "answers": [
            [one["custom_id"], one["response"]["body"]["data"][0]["label"]] for one in answers
        ],
        "errors": [[one["custom_id"], one["error"]["code"]] for one in errors],
        "cancelled": cancelled.status,
        "is_newest_first": listed == [other.id, batch.id],
    }


def completions() -> Told:
    asked = {"model": "char_lstm", "prompt": "the soul ", "max_tokens": 200, "seed": 7}
    whole = client.completions.create(**asked)
    options = {"include_usage": True}
    *chunks, last = client.completions.create(**asked, stream=True, stream_options=options)
    several = client.completions.create(**{**asked, "prompt": ["one ", "two "]}, n=2)

    with client.completions.create(**{**asked, "max_tokens": 100_000}, n=8, stream=True) as left:
        next(iter(left))
    jobs = {"params": {"kind": "generate", "limit": 1}}
    ended = awaited(
        lambda: client.get("/jobs", options=jobs, cast_to=object)["data"][0],
        lambda job: job["state"] not in ("queued", "running"),
    )
    return {
        "text": whole.choices[0].text,
        "finish_reason": whole.choices[0].finish_reason,
        "usage": whole.usage.to_dict(),
        "streamed": {
            "text": "".join(chunk.choices[0].text for chunk in chunks),
            "finish_reason": chunks[-1].choices[0].finish_reason,
            "usage": last.usage.to_dict(),
            "is_in_parts": len(chunks) > 1,
        },
        "several": [[one.index, len(one.text)] for one in several.choices],
        "left": ended["state"],
    }


def labels(model: str, text: str | list[str]) -> list[Told]:
    body = {"model": model, "input": text, "top_k": 1}
    found: list[Told] = client.post("/classify", body=body, cast_to=object)["data"]
    return found


def classify() -> list[list[object]]:
    found = labels("imdb_lstm", ["A wonderful film.", "", "Dull."])
    return [[one["index"], one.get("label"), one.get("error", {}).get("code")] for one in found]


def fine_tuning() -> Told:
    with open("train.jsonl", "rb") as data:
        training_file = client.files.create(file=data, purpose="fine-tune").id
    asked = {
        "model": "imdb_lstm",
        "training_file": training_file,
        "suffix": os.environ["TENANT"],
        "extra_body": {"preset": "fast"},
    }
    jobs = client.fine_tuning.jobs

    job = jobs.create(**asked, hyperparameters={"n_epochs": 2})
    ended = with_status(lambda: jobs.retrieve(job.id), "succeeded", "failed", "cancelled")
    events = list(jobs.list_events(job.id, limit=2))
    checkpoints = list(jobs.checkpoints.list(job.id))
    model = client.models.retrieve(ended.fine_tuned_model.partition("@")[0])

    long = jobs.create(**asked, hyperparameters={"n_epochs": 200})
    awaited(
        lambda: jobs.list_events(long.id, limit=100).data,
        lambda seen: any(one.type == "metrics" for one in seen),
    )
    jobs.pause(long.id)
    paused = with_status(lambda: jobs.retrieve(long.id), "paused")
    resumed, cancelled = jobs.resume(long.id), jobs.cancel(long.id)
    return {
        "status": ended.status,
        "model": ended.fine_tuned_model,
        "owner": model.owned_by,
        "events": [[one.level, one.type, one.message.partition(":")[0]] for one in events],
        "steps": [one.step_number for one in checkpoints],
        "label": labels(ended.fine_tuned_model, "a fine film")[0]["label"],
        "steered": [paused.status, resumed.status, cancelled.status],
        "is_newest_first": [one.id for one in jobs.list(limit=1)] == [long.id, job.id],
        "ended": job.id,
        "training_file": training_file,
    }


def refused(request: Callable[..., object], *given: str, **options: object) -> Told | None:
    """Return what a request was refused with."""
    try:
        request(*given, **options)
    except stock.APIStatusError as error:
        return {
            "kind": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "type": error.type,
            "param": error.param,
            "has_id": (error.request_id or "").startswith("req_"),
        }
    return None


def errors(tuned: Told) -> Told:
    limited, jobs = client_of("LIMITED_KEY"), client.fine_tuning.jobs
    limited.models.list()
    training_file = tuned["training_file"]
    text = {"model": "char_lstm", "prompt": "x"}
    batch = {"endpoint": "/v1/classify", "completion_window": "24h"}
    training = {"model": "imdb_lstm", "training_file": training_file, "suffix": "none"}
    return {
        "model": refused(client.completions.create, model="char_lst", prompt="x"),
        "file": refused(client.files.retrieve, "file-none"),
        "batch": refused(client.batches.retrieve, "batch_none"),
        "training": refused(jobs.retrieve, "ftjob-none"),
        "type": refused(client.completions.create, **text, temperature="hot"),
        "purpose": refused(client.batches.create, input_file_id=training_file, **batch),
        "parameter": refused(jobs.create, **training, hyperparameters={"epoch": 1}),
        "state": refused(jobs.resume, tuned["ended"]),
        "key": refused(client_of("seqd-none").models.list),
        "role": refused(client_of("READ_KEY").completions.create, **text),
        "rate": refused(limited.models.list),
    }


def all_flows() -> Iterator[tuple[str, object]]:
    yield "files", files()
    yield "batches", batches()
    yield "completions", completions()
    yield "classify", classify()
    tuned = fine_tuning()
    yield "fine_tuning", tuned
    yield "errors", errors(tuned)


if __name__ == "__main__":
    print(json.dumps(dict(all_flows())))
