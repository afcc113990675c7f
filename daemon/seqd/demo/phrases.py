"""What the demo's reviews are made of. Data only; `reviews` puts it together.

Fields in braces are a film's: title, lead, other, director, place, genre, year, minutes.
"""

from typing import Final

OPENINGS: Final = (
    "I saw {title} last night with two friends who like this sort of {genre}.",
    "{title} is a {genre} from {year}, set in {place}.",
    "My brother lent me his copy of {title} and told me nothing about it.",
    "After years of hearing about {title} I finally sat down to watch it.",
    "{director} made {title} in {year}, between two larger projects.",
    "We picked {title} because of {lead}, whom I had seen in a play once.",
    "This {genre} turned up on television late on a Sunday.",
    "I had read the book long before I came across {title}.",
    "{title} runs for {minutes} minutes and takes place almost entirely in {place}.",
    "There are two versions of {title}, and I watched the longer one.",
)

FACTS: Final = (
    "{lead} plays a surveyor who comes back to {place} after the war.",
    "The story begins with a letter that arrives twenty years late.",
    "{other} is the landlady who knows more than she says.",
    "Most of it was shot in and around {place}.",
    "A storm keeps the two of them in the same house for three days.",
    "It is set in {year}, though you would hardly know from the clothes.",
    "The second half moves to the city and brings in a lawyer.",
    "{lead} and {other} had worked together before.",
    "At about the middle somebody steals a boat.",
    "The running time is {minutes} minutes.",
    "There is a subplot about a bridge that I will not give away.",
    "The same story was filmed once before, in black and white.",
)

#: For each aspect of a film, what is said of it by somebody who likes it, and by one who doesn't.
ASPECTS: Final[tuple[dict[str, tuple[str, ...]], ...]] = (
    {
        "positive": (
            "{lead} is superb and carries every scene with ease.",
            "The acting is excellent throughout, {other} above all.",
            "{lead} gives a wonderful performance, quiet and full of feeling.",
            "Even the smallest part is played with care.",
        ),
        "negative": (
            "{lead} looks bored and reads the lines like a shopping list.",
            "The acting is terrible, and {other} is the worst of them.",
            "Nobody in the cast seems to know what the scene is about.",
            "{lead} is badly miscast and never convinced me for a minute.",
        ),
    },
    {
        "positive": (
            "The script is sharp, and the dialogue is often very funny.",
            "It is beautifully written, without one line too many.",
            "What people say to each other sounds true.",
        ),
        "negative": (
            "The script is a mess of clichés.",
            "The dialogue is painfully wooden.",
            "Whoever wrote these lines has never heard two people talk.",
        ),
    },
    {
        "positive": (
            "The photography is gorgeous, {place} has never looked like this.",
            "Every shot of {place} could hang on a wall.",
            "It is lovely to look at from the first minute to the last.",
        ),
        "negative": (
            "It looks cheap, and half of it is too dark to see.",
            "The camera work made me feel slightly ill.",
            "The sets wobble, and the sky is plainly painted.",
        ),
    },
    {
        "positive": (
            "The plot is clever and kept me guessing.",
            "The story is simple and told with great skill.",
            "I did not see the twist coming, and it makes perfect sense.",
        ),
        "negative": (
            "The plot makes no sense at all.",
            "The story is predictable, I knew the ending after ten minutes.",
            "There are holes in this plot that you could sail a ship through.",
        ),
    },
    {
        "positive": (
            "The {minutes} minutes flew by.",
            "It takes its time, and every moment is worth it.",
            "The pace is perfect.",
        ),
        "negative": (
            "It is far too long and very dull.",
            "The {minutes} minutes felt like a week.",
            "Nothing happens, slowly, and then it happens again.",
        ),
    },
    {
        "positive": (
            "The music is haunting and I have been humming it since.",
            "A great score holds it all together.",
            "The songs are a delight.",
        ),
        "negative": (
            "The music is awful and never stops.",
            "The score drowns out what little there is to hear.",
            "I turned the sound down whenever the band came back.",
        ),
    },
    {
        "positive": (
            "{director} directs with a light and certain hand.",
            "One feels on every frame that {director} loved this material.",
            "The direction is brilliant, in a way that you only notice afterwards.",
        ),
        "negative": (
            "{director} seems to have left the set early.",
            "The direction is lazy and clumsy.",
            "{director} had one idea, and it was a poor one.",
        ),
    },
    {
        "positive": (
            "The ending moved me to tears.",
            "The last scene is one of the best that I know.",
            "It all comes together in a deeply satisfying end.",
        ),
        "negative": (
            "The ending is a ridiculous let-down.",
            "It just stops, as if the money had run out.",
            "The last half hour is an insult to anybody who had sat through the rest.",
        ),
    },
    {
        "positive": (
            "The jokes land, and the theatre laughed out loud.",
            "There is a warmth in it that is rare in a {genre}.",
            "It is funny and sad in the same breath.",
        ),
        "negative": (
            "The jokes are stupid and fall flat.",
            "There is not one laugh in it, and it tries so hard.",
            "I have seen more feeling in a safety film.",
        ),
    },
    {
        "positive": (
            "You come to care for these people.",
            "{other} and {lead} have real chemistry.",
            "The characters are rich and surprising.",
        ),
        "negative": (
            "I could not care less what became of any of them.",
            "{lead} and {other} have no chemistry whatsoever.",
            "The characters are made of cardboard.",
        ),
    },
)

VERDICTS: Final[dict[str, tuple[str, ...]]] = {
    "positive": (
        "I loved it and recommend it to everyone.",
        "One of the best films of its kind. See it.",
        "For all its faults I would happily watch it again.",
        "It stays with you. Nine out of ten.",
        "Do not let the poster put you off, this one is a small treasure.",
        "I went in expecting little and came out very glad.",
    ),
    "negative": (
        "A complete waste of time. Avoid it.",
        "One of the worst films that I have seen in years.",
        "Whatever its merits, I would not sit through it again.",
        "I wanted to like it and could not. Three out of ten.",
        "Do not let the poster fool you, there is nothing behind it.",
        "I went in expecting much and left before the credits.",
    ),
}

TITLE_FRONTS: Final = (
    "The Last",
    "The Quiet",
    "A Winter",
    "The Other",
    "Beyond the",
    "Under the",
    "The Long",
    "A Borrowed",
    "Return to the",
    "The Paper",
    "No Other",
    "The Seventh",
)

TITLE_BACKS: Final = (
    "Harbour",
    "Lantern",
    "Station",
    "Orchard",
    "Letter",
    "Crossing",
    "Summer",
    "Ferryman",
    "Window",
    "Winter",
    "Witness",
    "Tide",
)

NAMES: Final = (
    "Ada Merrow",
    "Tom Halloran",
    "Ines Calder",
    "Viktor Brandt",
    "Rosa Lindqvist",
    "Hugh Pemberley",
    "Maya Oduya",
    "Carl Ostrander",
    "Nell Fairweather",
    "Jun Takeda",
    "Oskar Weil",
    "Clara Dunmore",
    "Samir Haddad",
    "Edith Vane",
    "Leo Marchetti",
    "Grace Akintola",
)

PLACES: Final = (
    "a fishing village",
    "Lisbon",
    "the north of Scotland",
    "a mining town",
    "Buenos Aires",
    "a mountain hotel",
    "Trieste",
    "the salt flats",
    "an army camp",
    "a small town in Ohio",
)

GENRES: Final = (
    "thriller",
    "comedy",
    "western",
    "romance",
    "mystery",
    "war film",
    "drama",
    "horror film",
)
