"""What a user would write instead of the gateway: FastAPI routes, one of which calls Celery."""

from fastapi import FastAPI
from pydantic import BaseModel

from bench.peers.celery_tasks import label

app = FastAPI()


class Review(BaseModel):
    input: str
    model: str


@app.post("/nothing")
async def nothing(asked: Review) -> dict[str, object]:
    """Answer at once: what HTTP costs."""
    return {"label": asked.input, "score": 1.0}


@app.post("/celery")
def by_celery(asked: Review) -> dict[str, object]:
    """Have a task do it; without `async`, so that a thread waits and not the event loop."""
    found: dict[str, object] = label.delay(asked.input).get(timeout=600.0)
    return found
