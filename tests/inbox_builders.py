"""A program in another language that hands jobs in: plain Redis commands and JSON."""

import json
import random
import secrets
import string
from collections.abc import Mapping

from redis import Redis

from seqd_schemas import Failure, InboxAnswer, Keys


def a_request(texts: list[str], model: str = "echo", **changes: object) -> dict[str, object]:
    """Return a classification of some texts, some fields of it changed."""
    items = [{"custom_id": f"c{n}", "text": text} for n, text in enumerate(texts)]
    source = {"type": "inline", "items": items}
    return {"kind": "classify", "model": model, "source": source} | changes


_LETTERS = "".join(random.Random(7).choices(string.ascii_lowercase[:8] + " ", k=20_000))


def words(chars: int, number: int) -> str:
    """Return text that is compressed to about half, another one for each number."""
    return f"{number} {_LETTERS[:chars]}"


def a_job_id() -> str:
    """Return an identifier that no other test uses."""
    return f"p{secrets.token_hex(6)}"


class Producer:
    """Adds entries, and reads what it is told of them."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self._keys = keys

    def add(self, job: object, job_id: str = "") -> str:
        """Hand a job in; returns the identifier that was chosen for it."""
        job_id = job_id or a_job_id()
        self.add_job(job, job_id)
        return job_id

    def add_job(self, job: object, job_id: str) -> str:
        """Hand a job in; returns the stream id of the entry."""
        body = job if isinstance(job, str | bytes) else json.dumps(job)
        return self.add_fields({"id": job_id, "job": body})

    def add_fields(self, fields: Mapping[str | bytes, str | bytes], entry: str = "*") -> str:
        """Add an entry of any fields; returns its stream id."""
        added = self.redis.xadd(self._keys.inbox(), dict(fields), id=entry)
        assert isinstance(added, bytes)
        return added.decode()

    def waiting(self) -> int:
        """Return how many entries wait."""
        return int(self.redis.xlen(self._keys.inbox()))

    def has_answered(self, entries: int) -> bool:
        """Return True when so many answers are there."""
        return int(self.redis.xlen(self._keys.inbox_answers())) >= entries

    def all_answers(self, after: str = "-") -> list[InboxAnswer]:
        """Return the answers that are kept, or those behind a stream id, in their order."""
        start = after if after == "-" else f"({after}"
        rows = self.redis.xrange(self._keys.inbox_answers(), min=start)
        return [InboxAnswer.model_validate_json(fields[b"a"]) for _, fields in rows]

    def answer_to(self, entry: str, block_ms: int = 20_000) -> InboxAnswer:
        """Read the answers from an entry's stream id on, as the guide says, up to the entry's."""
        after = entry
        while True:
            reply = self.redis.xread({self._keys.inbox_answers(): after}, block=block_ms)
            assert reply, f"no answer to {entry}"
            for answer_id, fields in reply[0][1]:
                answer = InboxAnswer.model_validate_json(fields[b"a"])
                if answer.entry == entry:
                    return answer
                after = answer_id.decode()

    def rejection_of(self, job_id: str) -> Failure:
        """Follow the job's stream until its terminal event, which must be a rejection."""
        return Failure.model_validate(self.rejected_event_of(job_id)["failure"])

    def rejected_event_of(self, job_id: str) -> dict[str, object]:
        """Return the event with which a job's stream begins, which must be a rejection."""
        reply = self.redis.xread({self._keys.events(job_id): "0-0"}, block=20_000)
        assert reply, f"no event of {job_id}"
        event: dict[str, object] = json.loads(reply[0][1][0][1][b"e"])
        assert event["event"] == "rejected", event
        return event
