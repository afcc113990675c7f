"""Gateways, a worker and Redis are killed under 20 clients: nothing is lost or doubled."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.webhook_receiver import Message, Receiver, a_receiver
from gateway_builders import Gateway, variables_of
from held_ports import Holder, hold_port
from redis_fixtures import PrivateServer
from seqd_schemas import WEBHOOK_EVENTS
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

CLIENTS = 20

#: Longest that a client tries for one answer, or waits for one job.
LIMIT_S = 180.0

#: Statuses of what passes by itself.
PASSING = (429, 500, 502, 503, 504)


@dataclass
class Made:
    """What clients were told of jobs, and how often they had to ask again."""

    jobs: list[str] = field(default_factory=list)
    items: int = 0
    again: Counter[str] = field(default_factory=Counter)


class Stack:
    """Two gateways, a worker and their Redis, each of which may be killed and comes back."""

    def __init__(self, cluster: Cluster, server: PrivateServer, folder: Path) -> None:
        self._cluster, self._server = cluster, server
        self._holder = Holder()
        variables = variables_of(cluster.settings)
        variables["SEQD_GATEWAY_PRIVATE_WEBHOOKS"] = "true"
        self.gateways = [
            Gateway(hold_port(self._holder), variables, folder / f"gateway-{number}.log")
            for number in range(2)
        ]
        self.kills = Counter[str]()

    def start(self) -> None:
        for gateway in self.gateways:
            gateway.start()
        self._start_worker()
        self._worker.wait_until_ready()

    def kill(self, what: str) -> None:
        """Kill one by SIGKILL, and have it back."""
        self.kills[what] += 1
        if what == "redis":
            self._server.kill()
            self._server.start()
        elif what == "worker":
            self._worker.kill()
            self._start_worker()
        else:
            gateway = self.gateways[self.kills[what] % 2]
            gateway.kill()
            gateway.start()

    def end(self) -> None:
        for gateway in self.gateways:
            gateway.kill()

    def _start_worker(self) -> None:
        # A unit may be under way in many kills; none of them is its own doing.
        self._worker = self._cluster.start(max_attempts=20)


class Client:
    """A client that follows the protocol: it asks any gateway again where an answer breaks off."""

    def __init__(self, stack: Stack, made: Made, name: str, seed: int) -> None:
        self._stack, self._made, self._name = stack, made, name
        self._choice = random.Random(f"{seed} {name}")
        self._number = 0

    def work(self, is_over: Callable[[], bool]) -> None:
        """Do what clients do until it is over; raises AssertionError for what is not as asked."""
        while not is_over():
            self._number += 1
            self._choice.choice((self.job, self.job, self.batch, self.stream))()

    def job(self) -> None:
        """Hand a job in under a name, follow it to its end, and read its results."""
        job_id = f"{self._name}-{self._number}"
        texts = self._texts(self._choice.randint(1, 40))
        items = [{"custom_id": name, "text": text} for name, text in texts.items()]
        asked = {"kind": "classify", "model": "echo", "source": {"type": "inline", "items": items}}
        self._ask("PUT", f"/v1/jobs/{job_id}", json=asked)
        self._made.jobs.append(job_id)

        events = self._followed(job_id)
        assert [event for event, _ in events][-1] == "completed"
        ids = [tuple(map(int, event_id.split("-"))) for _, event_id in events]
        assert ids == sorted(set(ids)), f"{job_id}: {events}"
        assert events == self._followed(job_id)  # what is read without a break
        reply = self._ask("GET", f"/v1/jobs/{job_id}/results")
        rows = [json.loads(line) for line in reply.text.splitlines()]
        found = [(row["custom_id"], row["output"]["label"]) for row in rows]
        assert found == list(texts.items())
        self._made.items += len(found)

    def batch(self) -> None:
        """Upload a file, have its lines answered, and fetch the answers."""
        texts = self._texts(self._choice.randint(20, 400))
        lines = "".join(
            json.dumps({"custom_id": name, "text": text}) + "\n" for name, text in texts.items()
        )
        upload = {"file": ("r.jsonl", lines.encode())}
        file = self._ask("POST", "/v1/files", files=upload, data={"purpose": "batch"}).json()
        asked = {"input_file_id": file["id"], "endpoint": "/v1/classify", "model": "echo"}
        key = {"idempotency-key": f"{self._name}-{self._number}"}
        batch = self._ask("POST", "/v1/batches", json=asked, headers=key).json()
        self._made.jobs.append(batch["id"].removeprefix("batch_"))

        def is_done() -> bool:
            batch.update(self._ask("GET", f"/v1/batches/{batch['id']}").json())
            return batch["status"] in ("completed", "failed", "expired", "cancelled")

        wait_until(is_done, f"{batch['id']} ends", LIMIT_S)
        assert (batch["status"], batch["error_file_id"]) == ("completed", None)
        reply = self._ask("GET", f"/v1/files/{batch['output_file_id']}/content")
        rows = [json.loads(line) for line in reply.text.splitlines()]
        labels = [row["response"]["body"]["data"][0]["label"] for row in rows]
        assert dict(zip((row["custom_id"] for row in rows), labels, strict=True)) == texts
        assert len(rows) == len(texts)
        self._made.items += len(rows)

    def stream(self) -> None:
        """Have a prompt continued as a stream, from its begin again where it breaks off."""
        (prompt,) = self._texts(1).values()
        asked = {"model": "echo", "prompt": prompt, "stream": True}

        def whole(gateway: Gateway) -> str | None:
            parts = []
            url = f"{gateway.address}/v1/completions"
            with httpx.stream("POST", url, json=asked, timeout=LIMIT_S) as reply:
                if reply.status_code in PASSING:
                    return None
                assert reply.status_code == 200, reply.read()
                for line in reply.iter_lines():
                    if line == "data: [DONE]":
                        return "".join(parts)
                    if line.startswith("data: "):
                        told = json.loads(line.removeprefix("data: "))
                        if "error" in told:
                            return None
                        parts += [one["text"] for one in told["choices"]]
            return None

        assert self._patiently(whole, "a stream") == prompt[::-1]

    def _texts(self, count: int) -> dict[str, str]:
        """Make up texts that no other has, by the names of their items."""
        made = f"{self._name}-{self._number}"
        return {f"r{number}": f"text {number} of {made}" for number in range(count)}

    def _followed(self, job_id: str) -> list[tuple[str, str]]:
        """Return the events of a job up to its end, each with its id, behind each break on."""
        seen = list[tuple[str, str]]()

        def follow(gateway: Gateway) -> bool | None:
            headers = {"last-event-id": seen[-1][1]} if seen else {}
            url, fields = f"{gateway.address}/v1/jobs/{job_id}/events", dict[str, str]()
            with httpx.stream("GET", url, headers=headers, timeout=LIMIT_S) as reply:
                if reply.status_code == 204:
                    return True
                if reply.status_code in PASSING:
                    return None
                assert reply.status_code == 200, reply.read()
                for line in reply.iter_lines():
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    if not line:
                        if "id" in fields:
                            seen.append((fields["event"], fields["id"]))
                        fields.clear()
            return True if seen and seen[-1][0] in ("completed", "failed") else None

        self._patiently(follow, f"events of {job_id}")
        return seen

    def _ask(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """Return the answer to a request, which is sent again until there is one."""

        def answer(gateway: Gateway) -> httpx.Response | None:
            reply = httpx.request(method, f"{gateway.address}{path}", timeout=LIMIT_S, **asked)
            return None if reply.status_code in PASSING else reply

        reply = self._patiently(answer, path)
        assert reply.status_code == 200, (path, reply.text)
        return reply

    def _patiently(self, ask: Callable[[Gateway], Any], what: str) -> Any:
        """Ask gateways at random until one has answered."""
        answers = list[Any]()

        def is_answered() -> bool:
            try:
                answer = ask(self._choice.choice(self._stack.gateways))
            except httpx.TransportError as error:
                self._made.again[type(error).__name__] += 1
                return False
            if answer is None:
                self._made.again["not now"] += 1
                return False
            answers.append(answer)
            return True

        wait_until(is_answered, f"an answer of {what}", LIMIT_S)
        return answers[0]


@contextmanager
def clients_at_work(stack: Stack, made: Made, seed: int) -> Iterator[list[BaseException]]:
    """Have the clients work until the block ends; gives what they have met."""
    is_over, errors = threading.Event(), list[BaseException]()

    def work(number: int) -> None:
        try:
            Client(stack, made, f"c{number}", seed).work(is_over.is_set)
        except BaseException as error:  # noqa: BLE001 - it ends the test
            errors.append(error)

    with ThreadPoolExecutor(CLIENTS) as threads:
        try:
            threads.map(work, range(CLIENTS))
            yield errors
        finally:
            is_over.set()


def told_of(receiver: Receiver, told: dict[str, Message]) -> set[str]:
    """Keep what a receiver was sent, by its identifier; return the jobs that it knows to end."""
    while not receiver.messages.empty():
        message = receiver.messages.get()
        before = told.setdefault(message.headers["webhook-id"], message)
        assert before.body == message.body
    ended = [one.told for one in told.values() if one.told["type"].endswith(".completed")]
    return {one["data"]["job_id"] for one in ended}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "kills"),
    [(7, 9), *(pytest.param(seed, 39, marks=pytest.mark.long) for seed in (1, 2, 3))],
)
def test_whoever_is_killed_each_job_is_done_once_and_each_webhook_arrives(
    private_cluster: Cluster, private_server: PrivateServer, tmp_path: Path, seed: int, kills: int
) -> None:
    stack, made, told = Stack(private_cluster, private_server, tmp_path), Made(), {}
    choice = random.Random(seed)
    plan = ["gateway", "worker", "redis"] * (kills // 3)
    choice.shuffle(plan)
    with a_receiver() as receiver:
        try:
            stack.start()
            wanted = {"url": receiver.url, "event_types": list(WEBHOOK_EVENTS)}
            httpx.post(f"{stack.gateways[0].address}/v1/webhook_endpoints", json=wanted)
            with clients_at_work(stack, made, seed) as errors:
                for what in plan:
                    due = len(made.jobs) + choice.randint(5, 25)
                    wait_until(
                        lambda due=due: len(made.jobs) >= due or bool(errors),
                        "work goes on",
                        LIMIT_S,
                    )
                    assert errors == []
                    stack.kill(what)
            assert errors == []
            owed = set(made.jobs)
            wait_until(
                lambda: owed <= told_of(receiver, told), "each webhook has arrived", LIMIT_S * 2
            )
        finally:
            stack.end()

    print(
        f"seed {seed}: {len(made.jobs):,} jobs with {made.items:,} items, kills "
        f"{dict(stack.kills)}, asked again {dict(made.again)}, {len(told):,} webhooks"
    )
    assert len(made.jobs) == len(owed)
    assert sum(stack.kills.values()) == len(plan)
    for job_id in owed:
        arrived = [
            tuple(map(int, one.told["data"]["event"]["id"].split("-")))
            for one in told.values()
            if one.told["data"]["job_id"] == job_id
        ]
        assert arrived == sorted(arrived)
