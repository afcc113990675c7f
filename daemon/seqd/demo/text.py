"""Composes a running text for a small training: days in a harbour town, in words of our own.

Simple and repetitive on purpose: within a minute on one core a network learns to spell from
it, and the samples after each epoch show how. Pure: the same seed gives the same text.
"""

import random
from typing import Final

_WHO: Final = (
    "the harbour master",
    "the old pilot",
    "the baker's daughter",
    "a stranger from the north",
    "the keeper of the light",
    "the ferryman",
    "the widow at the mill",
    "the schoolmaster",
)
_WHEN: Final = (
    "in the morning",
    "before the tide turned",
    "when the fog came in",
    "at the end of the summer",
    "on the first day of the fair",
    "as the bells were ringing",
    "late in the evening",
    "while the boats were out",
)
_DID: Final = (
    "walked down to the water",
    "counted the sails",
    "wrote a letter and burned it",
    "mended the nets in silence",
    "waited for news of the ship",
    "carried bread to the lighthouse",
    "looked a long time at the sky",
    "told the story of the great storm",
)
_WEATHER: Final = (
    "the wind had gone round to the west",
    "rain was falling on the slate roofs",
    "the sea lay flat and grey",
    "there was ice along the quay",
    "the sun stood low over the islands",
    "a thin mist hung between the masts",
)
_SAID: Final = (
    "nothing comes back the way it went",
    "the sea keeps what it is given",
    "there will be a change before night",
    "you cannot hurry the tide",
    "a small light is still a light",
    "we have seen worse and slept well",
)


def compose_text(characters: int, seed: int = 0) -> str:
    """Give a text of whole paragraphs that is at least `characters` long."""
    draw = random.Random(seed)
    paragraphs: list[str] = []
    length = 0
    while length < characters:
        paragraphs.append(" ".join(_sentence(draw) for _ in range(draw.randint(3, 6))))
        length += len(paragraphs[-1]) + 1
    return "\n".join(paragraphs) + "\n"


def _sentence(draw: random.Random) -> str:
    who, when, did = draw.choice(_WHO), draw.choice(_WHEN), draw.choice(_DID)
    weather, said = draw.choice(_WEATHER), draw.choice(_SAID)
    form = draw.choice(
        (
            "{when} {who} {did}.",
            "{who} {did}, for {weather}.",
            "{weather}, and {who} {did}.",
            '"{said}," said {who}.',
            "{when} {weather}, and nobody spoke.",
            "{who} {did} and said that {said}.",
        )
    )
    sentence = form.format(who=who, when=when, did=did, weather=weather, said=said)
    return sentence[0].upper() + sentence[1:] if sentence[0] != '"' else sentence
