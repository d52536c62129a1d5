"""What the presets that ask would cost: tokens counted on their own prompts and settings, times and prices published.

Nothing is asked and no network runs. What is assumed stands at the top; docs/presets.md says where it is from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from insightedit.backends.chat.cost import Price, Usage, image_tokens, price_of
from insightedit.backends.chat.prompt import load as load_prompt
from insightedit.backends.chat.replies import REPLIES
from insightedit.backends.chat.schema import strict_schema
from insightedit.construct.recipe import Recipe
from insightedit.core.config import load, preset_path

CHARS_PER_TOKEN = 4.0  # of English
PHOTO = (2048, 1365)  # px
CROP = (700, 700)  # px around an edit
OBJECTS, EDITS = 9, 11  # of a photograph, as in InsightEdit's released sample
ACCEPTED = 0.5  # share of the painted edits that the judge keeps, in both directions
POINTED, MENDED = 5, 1  # questions of verifying that an edit takes, and sentences of it that are mended
DETAIL = 120  # characters of a detailed caption
OUT = {  # tokens of a reply
    "describe": 600, "targets": 90, "instruct_remove": 500, "instruct_replace": 500, "point_back": 40, "rewrite": 60,
    "sc": 80, "pq": 80,
}  # fmt: skip
MODELS = ("gpt-4o", "gpt-4.1-mini")
GPU = {"paper": ("A100", 4.5, 1.50), "modern": ("H100", 60.0, 3.00)}  # name, s an edit, USD an hour
SEGMENT_S = 1.0  # a photograph
SIZES = (1_000, 2_500_000)  # directed pairs


@dataclass(frozen=True)
class Question:
    """A kind of question: how often it is asked per painted edit, and what it shows (px of the longer side, detail)."""

    prompt: str
    times: float
    images: tuple[tuple[int, int, str], ...] = ()  # width, height, detail


def questions(recipe: Recipe) -> Iterator[Question]:
    """All that is asked, per painted edit."""
    describe, instruct, score = recipe.describe.mllm, recipe.instruct, recipe.judge.score
    photo = (*within(PHOTO, describe.max_side_px), describe.detail)
    yield Question("describe", 1 / EDITS, (photo,))
    yield Question("targets", OBJECTS / EDITS, (photo,))
    side = (*within(PHOTO, instruct.mllm.max_side_px), instruct.mllm.detail)
    yield Question("instruct_remove", 0.5, (side, side))
    yield Question("instruct_replace", 0.5, (side, side))
    yield Question("point_back", POINTED, (side, side))
    yield Question("rewrite", MENDED, (side,))
    wordings = (score.simple + score.advanced) * (2 if score.both_directions else 1)
    for view, size in ((score.vie.whole, PHOTO), (score.vie.crop, CROP)):
        if view:
            shown = (*within(size, view.max_side), view.detail)
            yield Question("sc", wordings, (shown, shown))
            yield Question("pq", 1, (shown,))


def within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size as sent: the longer side at most so long; 0 = as it is."""
    shrink = min(1.0, side / max(size)) if side else 1.0
    return round(size[0] * shrink), round(size[1] * shrink)


def usage(question: Question, price: Price) -> Usage:
    """Tokens of one such question: its words with typical fillings, its schema, its images, its reply."""
    prompt = load_prompt(question.prompt)
    words = prompt.fill(**dict.fromkeys(prompt.slots, "x" * DETAIL))
    chars = sum(map(len, words)) + len(strict_schema(REPLIES[question.prompt]))
    seen = sum(image_tokens(width, height, detail, price.image) for width, height, detail in question.images)
    return Usage(prompt=math.ceil(chars / CHARS_PER_TOKEN) + seen, completion=OUT[question.prompt])


def tokens(preset: str, model: str) -> None:
    """One line per kind of question."""
    price = priced(model)
    print(f"\n`{preset}` with {model}:\n")
    print("| question | times an edit | tokens in | of them images | tokens out | USD an edit |")
    print("|---|---:|---:|---:|---:|---:|")
    for one in questions(load(Recipe, preset_path("build", preset))):
        used = usage(one, price)
        seen = sum(image_tokens(width, height, detail, price.image) for width, height, detail in one.images)
        cells = (
            one.prompt,
            f"{one.times:.2g}",
            used.prompt,
            seen,
            used.completion,
            f"{one.times * price.of(used):.4f}",
        )
        print("| " + " | ".join(map(str, cells)) + " |")


def priced(model: str) -> Price:
    price = price_of(model)
    assert price is not None, model
    return price


def per_edit(preset: str, model: str) -> float:
    """USD for language models, per painted edit."""
    price = priced(model)
    return sum(one.times * price.of(usage(one, price)) for one in questions(load(Recipe, preset_path("build", preset))))


def main() -> None:
    """Tokens by question, then totals."""
    for preset in GPU:
        tokens(preset, MODELS[0])
    names = " | ".join(f"{model}, USD" for model in MODELS)
    print(f"\n| preset | directed pairs | edits painted | requests | GPU h | GPU, USD | {names} |")
    print("|---|---:|---:|---:|---:|---:|" + "---:|" * len(MODELS))
    for preset, (gpu, seconds, hourly) in GPU.items():
        asked = sum(one.times for one in questions(load(Recipe, preset_path("build", preset))))
        for pairs in SIZES:
            edits = pairs / 2 / ACCEPTED
            hours = edits * (seconds + SEGMENT_S / EDITS) / 3600
            paid = [f"{edits * per_edit(preset, model):,.0f}" for model in MODELS]
            cells = (preset, f"{pairs:,}", f"{edits:,.0f}", f"{edits * asked:,.0f}", f"{hours:,.1f} {gpu}")
            print("| " + " | ".join([*cells, f"{hours * hourly:,.0f}", *paid]) + " |")


if __name__ == "__main__":
    main()
