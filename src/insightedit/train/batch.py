"""Examples -> tensors. What is drawn here (the wording of a question) depends on the sample's place alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from insightedit.core.errors import InputError
from insightedit.core.seed import derive
from insightedit.datasets.example import CaptionExample, EditExample, Example, TalkExample
from insightedit.model.comprehension import Comprehension
from insightedit.model.editor import EditBatch
from insightedit.model.pixels import source_pixels, vision_pixels
from insightedit.model.tokens import (
    CAPTION_PROMPT,
    IGNORE,
    QUESTIONS,
    Prompt,
    SpecialIds,
    Tokenizer,
    TokenSequence,
    collate,
)
from insightedit.model.tokens import sequence as edit_sequence
from insightedit.model.tokens import talk as talk_sequence


@dataclass(frozen=True)
class Sample:
    """An example, and the place in the endless sequence of samples that it was drawn for."""

    place: int
    example: Example
    passed: Mapping[str, str] = field(default_factory=dict)  # records before it that could not be used -> why


@dataclass(frozen=True)
class Layout:
    """What of a model decides the tensors of its batches."""

    special: SpecialIds
    image_tokens: int
    max_text: int
    prompt: Prompt
    eye: int  # px of the vision encoder's square
    resolution: int  # px of the working square

    @classmethod
    def of(cls, mllm: Comprehension, resolution: int) -> Layout:
        """The layout of a model."""
        return cls(mllm.special, mllm.eye.grid**2, mllm.sizes.max_text, mllm.prompt, mllm.eye.size, resolution)


@dataclass
class Batch:
    """Tensors, the places of the samples that edit, and what had to be left out with its reason."""

    tensors: EditBatch
    places: list[int]
    left_out: dict[str, str]


class Batcher:
    """Turns samples of one kind, captions or others, into one `Batch`. Picklable, for reader processes."""

    def __init__(self, tokenizer: Tokenizer, layout: Layout, seed: int) -> None:
        self.tokenizer, self.layout, self.seed = tokenizer, layout, seed

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Samples -> tensors; one whose words do not fit is left out by name.

        Raises:
            InputError: none is left.
        """
        fits: list[tuple[Sample, TokenSequence]] = []
        left_out: dict[str, str] = {}
        for sample in samples:
            left_out |= sample.passed
            try:
                fits.append((sample, self.sequence(sample)))
            except InputError as error:
                left_out[sample.example.id] = error.what
        if not fits:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
            raise InputError("no sample of a batch fits", why, "Raise language.max_text, or look at the dataset")
        edits = [sample for sample, _ in fits if isinstance(sample.example, EditExample)]
        return Batch(self._tensors(fits), [sample.place for sample in edits], left_out)

    def sequence(self, sample: Sample) -> TokenSequence:
        """A sample's words as ids.

        Raises:
            InputError: they do not fit.
        """
        example, layout = sample.example, self.layout
        if isinstance(example, EditExample):
            prompt = layout.prompt
            if prompt.question == Prompt.question:  # a model with wording of its own is always asked in that
                question = QUESTIONS[derive(self.seed, "question", sample.place) % len(QUESTIONS)]
                prompt = replace(prompt, question=question)
            return edit_sequence(
                self.tokenizer, example.instruction, layout.special, layout.image_tokens, layout.max_text, prompt
            )
        if isinstance(example, TalkExample):
            return talk_sequence(self.tokenizer, example.rounds, layout.special, layout.image_tokens, layout.max_text)
        prompt = CAPTION_PROMPT if layout.prompt.question == Prompt.question else layout.prompt
        return edit_sequence(self.tokenizer, example.text, layout.special, 0, layout.max_text, prompt)

    def _tensors(self, fits: list[tuple[Sample, TokenSequence]]) -> EditBatch:
        examples = [sample.example for sample, _ in fits]
        edits = [one for one in examples if isinstance(one, EditExample)]
        seen = [] if isinstance(examples[0], CaptionExample) else [_seen(one, self.layout.eye) for one in examples]
        side = (self.layout.resolution, self.layout.resolution)
        nothing = torch.zeros(0, 3, *side)
        return EditBatch(
            tokens=collate([one for _, one in fits]),
            vision=vision_pixels(seen, self.layout.eye) if seen else None,
            source=source_pixels([Image.fromarray(one.source) for one in edits], side) if edits else nothing,
            target=source_pixels([Image.fromarray(one.target) for one in edits], side) if edits else nothing,
            editing=torch.tensor([isinstance(one, EditExample) for one in examples]),
            mask=_masks(edits, side),
            answer=self._answers(edits),
            ids=[one.id for one in examples],
            texts=[_words(one) for one in examples],
            datasets=[one.dataset for one in examples],
        )

    def _answers(self, edits: Sequence[EditExample]) -> torch.Tensor | None:
        """(E, k) int64, the first token of each word; None where no edit is known in words."""
        longest = max((len(one.answer) for one in edits), default=0)
        if not longest:
            return None
        answers = torch.full((len(edits), longest), IGNORE)
        for row, one in enumerate(edits):
            for place, word in enumerate(one.answer):
                if word:
                    answers[row, place] = self.tokenizer(word, add_special_tokens=False).input_ids[0]
        return answers


def _masks(edits: Sequence[EditExample], side: tuple[int, int]) -> torch.Tensor | None:
    """(E, H, W) bool, if every edit has its mask."""
    masks = [one.mask for one in edits if one.mask is not None]
    if not masks or len(masks) < len(edits):
        return None
    return torch.stack([_squashed(mask, side) for mask in masks])


def _squashed(mask: np.ndarray, side: tuple[int, int]) -> torch.Tensor:
    """A cell counts if any of it does."""
    return F.adaptive_max_pool2d(torch.from_numpy(mask)[None].float(), side)[0] > 0


def _words(example: Example) -> str:
    if isinstance(example, EditExample):
        return example.instruction
    return example.text if isinstance(example, CaptionExample) else ""


def _seen(example: Example, side: int) -> Image.Image:
    """What the vision encoder sees: the source, the talk's picture, or grey where a talk has none."""
    if isinstance(example, EditExample):
        return Image.fromarray(example.source)
    image = example.image if example.image is not None else np.full((side, side, 3), 127, np.uint8)
    return Image.fromarray(image)
