"""`/v1/completions`: texts that continue a prompt, at once or while they are written."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from time import time
from typing import Final, cast
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.responses import Response

from seqd.client import AsyncJob
from seqd.errors import InvalidRequest, SeqdError
from seqd.gateway.bodies import (
    ANSWER_S,
    Answer,
    ModelRequest,
    RequestBody,
    Texts,
    answers_of,
    head_of,
    waited_for,
)
from seqd.gateway.callers import SeqdClient, Submitter
from seqd.gateway.refusals import error_body, error_body_of
from seqd.gateway.server_sent import EVENTS, event_of, kept_alive
from seqd_schemas import FinishReason, GeneratedSample, Generation, ItemError, ParameterValue

router = APIRouter(tags=["completions"])

#: The model's parameter by the field of a request.
_PARAMETERS: Final = {
    "n": "samples",
    "max_tokens": "length",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
}

#: Seconds that a stream has: its job ends with its caller, but where the gateway itself dies.
_STREAM_S: Final = 3_600


class StreamOptions(RequestBody):
    """What a stream has beside its texts."""

    include_usage: bool = False


class CompletionRequest(ModelRequest):
    """What to continue, and by which model. What is left out is as the model has it."""

    model: str = Field(default="char_lstm", max_length=128, description="NAME, or NAME@3.")
    prompt: Texts = Field(default="", description="One prompt, or a list of up to 1,000.")
    n: int | None = Field(default=None, ge=1, le=64, description="Texts of each prompt.")
    max_tokens: int | None = Field(default=None, ge=0, le=1_000_000)
    """Characters of each text at most; words, of a model that writes words."""
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: str | list[str] | None = None
    """One text, or up to 4, before which a text ends."""
    seed: int | None = Field(default=None, ge=0)
    stream: bool = Field(default=False, description="Give the texts while they are written.")
    stream_options: StreamOptions | None = None

    def all_parameters(self) -> dict[str, ParameterValue]:
        """Return the model's parameters, of which none may be given twice."""
        given = {
            name: value
            for field, name in _PARAMETERS.items()
            if (value := getattr(self, field)) is not None
        }
        if twice := given.keys() & self.parameters.keys():
            raise InvalidRequest(
                f"The parameter {min(twice)!r} is given twice: by a field and in `parameters`. "
                "Leave one of them out."
            )
        return cast("dict[str, ParameterValue]", {**self.parameters, **given})


@router.post("/v1/completions", response_model=None, responses={200: {"content": {EVENTS: {}}}})
async def complete(
    asked: CompletionRequest, caller: Submitter, seqd: SeqdClient
) -> Response | Answer:
    """Return texts that continue each prompt: `n` of the first, then of the next.

    With `stream` the reply is a stream of server-sent events, which ends in `[DONE]`.
    """
    await seqd.check_model(asked.model, caller.only_tenant)
    parameters = asked.all_parameters()
    written: list[Generation | ItemError]
    if isinstance(asked.prompt, str) and not asked.stream:
        one = await seqd.complete(
            asked.prompt,
            model=asked.model,
            parameters=parameters,
            tenant=caller.tenant,
            timeout_s=ANSWER_S,
        )
        return {**_head(asked), **completed([one])}
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    options = waited_for(caller.tenant, parameters)
    if asked.stream:
        options["expires_in_s"] = _STREAM_S
    job = await seqd.generate(prompts, model=asked.model, stream=asked.stream, **options)
    if asked.stream:
        never = asyncio.Event()  # a text that has begun has the time that a stopped gateway has
        texts = kept_alive(_streamed(job, asked, prompts), never)
        return StreamingResponse(texts, media_type=EVENTS)
    written = await answers_of(job)
    return {**_head(asked), **completed(written)}


def _head(asked: CompletionRequest) -> Answer:
    return head_of("cmpl", "text_completion", uuid4().hex, int(time()), asked.model)


def completed(written: list[Generation | ItemError]) -> Answer:
    """Return the texts of prompts as a response has them; raises the error of one that has none."""
    choices: list[object] = []
    prompt_chars, written_chars = 0, 0
    for one in written:
        if isinstance(one, ItemError):
            raise InvalidRequest(one.message)
        prompt_chars += len(one.prompt)
        for sample in one.samples:
            choices.append(_choice(len(choices), sample.text, sample))
            written_chars += len(sample.text)
    return {"choices": choices, "usage": _usage(prompt_chars, written_chars)}


def _choice(index: int, text: str, sample: GeneratedSample | None) -> Answer:
    """Return a text, or the next part of one that goes on while `sample` is None."""
    choice: Answer = {"index": index, "text": text, "logprobs": None, "finish_reason": None}
    if sample is not None:
        is_cut = sample.finish_reason is FinishReason.LENGTH
        choice["finish_reason"] = "length" if is_cut else "stop"
        choice["temperature"] = sample.temperature
        choice["mean_log_prob"] = sample.mean_log_prob
    return choice


def _usage(prompt_chars: int, written_chars: int) -> Answer:
    """Count characters: what the models here read and write."""
    return {
        "prompt_tokens": prompt_chars,
        "completion_tokens": written_chars,
        "total_tokens": prompt_chars + written_chars,
    }


async def _streamed(
    job: AsyncJob[Generation], asked: CompletionRequest, prompts: list[str]
) -> AsyncIterator[bytes]:
    """Yield the texts as events; a caller that goes away ends the job."""
    head, samples, chars = _head(asked), _samples_of(asked.all_parameters()), 0
    is_over = False
    try:
        async with aclosing(job.stream()) as texts:
            async for one in texts:
                if one.error is not None:
                    yield event_of(error_body(400, one.error.code, one.error.message))
                    continue
                chars += len(one.text)
                index = (int(one.custom_id.removeprefix("row-")) - 1) * samples + one.sample
                yield event_of({**head, "choices": [_choice(index, one.text, one.finished)]})
        is_over = True
    except SeqdError as error:
        is_over = True
        yield event_of(error_body_of(error))
    finally:
        if not is_over:
            # A caller that goes away ends this task, too, at whatever it waits for.
            await asyncio.shield(job.cancel())
    if asked.stream_options is not None and asked.stream_options.include_usage:
        usage = _usage(sum(map(len, prompts)), chars)
        yield event_of({**head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _samples_of(parameters: Mapping[str, ParameterValue]) -> int:
    """Return how many texts each prompt gets."""
    temperatures, samples = parameters.get("temperature"), parameters.get("samples", 1)
    each = len(temperatures) if isinstance(temperatures, list | tuple) else 1
    return each * (samples if isinstance(samples, int) else 1)
