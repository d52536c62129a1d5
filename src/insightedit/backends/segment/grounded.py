"""Grounded SAM (Ren et al., 2024): phrases -> boxes by a grounding detector -> masks by SAM -> rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from insightedit.backends.segment import boxes as geometry
from insightedit.backends.segment.detect import Detection, Detector, DetectorKnobs, Scored, chosen
from insightedit.backends.segment.found import Asked, Findings, Found, Left, Tokens, asked, region
from insightedit.backends.segment.rules import RuleKnobs, settle
from insightedit.backends.segment.sam import Sam, SamKnobs
from insightedit.core.config import Knobs
from insightedit.core.device import free_memory
from insightedit.core.mask import Box, Mask


class GroundedSamKnobs(Knobs):
    """Both networks, the rules, and where they run (auto, cpu, cuda, cuda:N, mps)."""

    detector: DetectorKnobs = DetectorKnobs()
    masks: SamKnobs = SamKnobs()
    rules: RuleKnobs = RuleKnobs()
    person: str = "person"  # looked for besides, to know what people wear; "" switches that rule off
    device: str = "auto"


class _Boxed(NamedTuple):
    """What the detector says of one picture."""

    things: list[Detection]
    lost: list[Left]
    persons: list[Box]

    @property
    def boxes(self) -> list[Box]:
        """Each once."""
        return list(dict.fromkeys([*(thing.box for thing in self.things), *self.persons]))


class GroundedSam:
    """Finds what phrases name, with masks. Making one is cheap and it pickles; `setup` loads.

    Args:
        settings: networks, thresholds, rules, device.
    """

    Settings = GroundedSamKnobs

    def __init__(self, settings: GroundedSamKnobs | None = None) -> None:
        self.settings = settings or GroundedSamKnobs()
        self._detector = Detector(self.settings.detector, self.settings.device)
        self._sam = Sam(self.settings.masks, self.settings.device)

    def setup(self) -> None:
        """Load both networks.

        Raises:
            BackendError: a library is not installed, or the device did not take the weights.
            ConfigError: no such device or dtype.
            InputError: weights are missing, damaged, partial, or of another kind of network.
        """
        self._detector.setup()
        self._sam.setup()

    def release(self) -> None:
        """Let the networks go and free the device's memory; `setup` loads them again."""
        self._detector = Detector(self.settings.detector, self.settings.device)
        self._sam = Sam(self.settings.masks, self.settings.device)
        free_memory()

    def engine(self) -> str:
        """Both networks with their revisions, for provenance; after `setup`."""
        return f"{self._detector.engine()} + {self._sam.engine()}"

    def find(self, image: np.ndarray, phrases: Sequence[str]) -> list[Found]:
        """The things in one picture that pass every rule; see `find_many`, which also says what was left out."""
        return self.find_many([image], [phrases])[0].found

    def find_many(self, images: Sequence[np.ndarray], phrases: Sequence[Sequence[str]]) -> list[Findings]:
        """The things that phrases name, for each picture; the order of the phrases changes nothing but their indices.

        Args:
            images: uint8 RGB (H, W, 3) of any sizes.
            phrases: for each image, short names without article ("wine bottle").

        Returns:
            Things, and what was left out with its reason: empty_phrase, phrase_too_long, repeated_phrase,
            another_phrase_fits_better, and those of `rules.fit` and `rules.merged`. A phrase may have no entry at all:
            nothing answered it.

        Raises:
            BackendError: a network gave no numbers.
            InputError: not an image.
        """
        wanted = [asked(words, self._detector.read) for words in phrases]
        person = self._detector.read(self.settings.person) if self.settings.person else None
        wordings = [_with(ask.wordings, person) for ask in wanted]
        scored = self._detector.scored(images, wordings)
        boxed = [
            self._boxed(scores, sought, [words[index] for index in ask.phrases], person, image.shape)
            for scores, sought, ask, words, image in zip(scored, wordings, wanted, phrases, images, strict=True)
        ]
        masks = self._sam.masks(images, [one.boxes for one in boxed])
        return [self._settled(*one) for one in zip(boxed, masks, wanted, phrases, strict=True)]

    def _boxed(
        self, scored: Scored, wordings: list[Tokens], names: list[str], person: Tokens | None, shape: tuple[int, ...]
    ) -> _Boxed:
        """Boxes of the things, and of people where something was found that they could wear."""
        knobs, size = self.settings.detector, (shape[1], shape[0])
        things, lost = chosen(scored.only(range(len(names))), knobs, names, *size)
        if person is None or not things:
            return _Boxed(things, lost, [])
        people, _ = chosen(scored.only([wordings.index(person)]), knobs, [self.settings.person], *size)
        return _Boxed(things, lost, [one.box for one in people])

    def _settled(self, boxed: _Boxed, masks: list[tuple[Mask, float]], ask: Asked, phrases: Sequence[str]) -> Findings:
        """Masks given to boxes, wordings back to phrases, rules applied."""
        drawn = dict(zip(boxed.boxes, masks, strict=True))
        found = [
            Found(ask.phrases[one.wording], one.box, drawn[one.box][0], one.score, drawn[one.box][1])
            for one in boxed.things
        ]
        settled = settle(found, phrases, self.settings.rules, [drawn[box][0] for box in boxed.persons])
        lost = [replace(one, phrase=ask.phrases[one.phrase]) for one in boxed.lost]
        return Findings(settled.found, ask.left + lost + settled.left)

    def masks(self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[Box]]) -> list[list[tuple[Mask, float]]]:
        """Masks for boxes that are known already, with SAM's predicted IoU; no rule is applied. See `Sam.masks`."""
        return self._sam.masks(images, boxes)

    def present(self, image: np.ndarray, phrase: str, inside: Mask | np.ndarray) -> float:
        """How sure the detector is that the thing is in a region, 0..1: the test for what a removal left behind.

        Args:
            image: uint8 RGB (H, W, 3), whole: the thing is looked for as it was when it was found.
            phrase: its name.
            inside: the region in a frame of the image's size, as a mask or bool (H, W); see `boxes.strongest_inside`.

        Raises:
            Unfit: empty_phrase, phrase_too_long.
            BackendError, InputError: see `find_many`.
        """
        scored = self._detector.scored([image], [[self._detector.read(phrase)]])[0]
        return geometry.strongest_inside(scored.boxes, scored.best[:, 0], region(inside, image))


def _with(wordings: list[Tokens], person: Tokens | None) -> list[Tokens]:
    """What is asked for, and people besides if something is."""
    return wordings if person is None or not wordings or person in wordings else [*wordings, person]


def _scored(drawn: tuple[Mask, float], score: float) -> tuple[Mask, float, float]:
    return drawn[0], score, drawn[1]
