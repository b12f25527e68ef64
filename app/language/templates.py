"""The synthetic corpus: sentences from one template, of which the same seed always makes the same."""

import random

SUBJECTS = ("Alice", "Bob", "Carol", "Dave", "Eve", "Mallory", "Peggy", "Trent", "Victor", "Walter")
VERBS = ("paints", "writes", "composes", "sketches", "records", "designs", "curates", "edits", "crafts", "imagines")
OBJECTS = (
    *("portraits", "stories", "poems", "melodies", "landscapes"),
    *("comics", "scenes", "lyrics", "haikus", "essays"),
)
STYLES = (
    *("in watercolor", "in oil", "in charcoal", "with synths"),
    *("in pastel", "with ink", "in pencil", "with strings"),
)
CONTEXTS = (
    *("at dawn", "at night", "on weekends", "in spring"),
    *("by the river", "on stage", "in the studio", "in Vienna"),
)
SLOTS = (SUBJECTS, VERBS, OBJECTS, STYLES, CONTEXTS)
"""In the order in which they are drawn and written: 64,000 different sentences."""
SEED = 7
"""The seed of the corpus that published numbers refer to."""


def synthetic(count: int, seed: int = SEED) -> tuple[str, ...]:
    """`count` sentences, drawn with replacement; the first ones are the same for every `count`."""
    # Python's own generator, because the reference corpus was drawn with it; not the one that the process shares.
    source = random.Random(seed)  # noqa: S311 (nothing here is secret)
    return tuple(" ".join(source.choice(slot) for slot in SLOTS) + "." for _ in range(count))
