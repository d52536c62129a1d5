"""Phrases -> masks of all their instances by SAM 3 (Carion et al., 2025), text prompts only, without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from insightedit.backends.segment import boxes as geometry
from insightedit.backends.segment import load
from insightedit.backends.segment.found import Findings, Found, Tokens, asked, checked, region
from insightedit.backends.segment.rules import RuleKnobs, settle
from insightedit.core.config import Knobs
from insightedit.core.device import free_memory
from insightedit.core.errors import BackendError, Unfit
from insightedit.core.fingerprint import engine
from insightedit.core.mask import Mask


class Sam3Knobs(Knobs):
    """Which weights (the public ones are gated: their owner admits each user by hand), thresholds, rules, device."""

    model: str = "facebook/sam3"
    revision: str | None = None
    threshold: float = Field(default=0.5, ge=0, lt=1)  # of an instance
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)  # of a pixel
    rules: RuleKnobs = RuleKnobs()
    person: str = "person"  # looked for besides, to know what people wear; "" switches that rule off
    device: str = "auto"
    dtype: str = "auto"


class _Answer(NamedTuple):
    """The network's instances of one phrase in one picture: Q boxes xyxy px, scores 0..1, mask logits."""

    boxes: np.ndarray  # (Q, 4)
    scores: np.ndarray  # (Q,)
    logits: Any  # (Q, h, w) tensor


class Sam3:
    """Finds what phrases name, with masks, in one network. Making one is cheap and it pickles; `setup` loads.

    Each phrase is asked for by itself, so phrases do not touch each other's scores; a picture is encoded once.

    Args:
        settings: weights, thresholds, rules, device.
    """

    Settings = Sam3Knobs
    KINDS: ClassVar[dict[str, str]] = {"sam3": "Sam3Model", "sam3_video": "Sam3Model"}

    def __init__(self, settings: Sam3Knobs | None = None) -> None:
        self.settings = settings or Sam3Knobs()

    def setup(self) -> None:
        """Load network and tokenizer.

        Raises:
            BackendError, ConfigError, InputError: see `load.network`.
        """
        knobs = self.settings
        net = load.network(self.KINDS, knobs.model, knobs.revision, knobs.device, knobs.dtype)
        from transformers import AutoTokenizer

        self._net = net
        self._tokenizer = load.part(lambda: AutoTokenizer.from_pretrained(net.folder), net.folder)
        self._side: int = net.model.config.vision_config.backbone_config.image_size
        self._length: int = net.model.config.text_config.max_position_embeddings  # 32 in the public ones

    def release(self) -> None:
        """Let the network go and free the device's memory; `setup` loads it again."""
        self.__dict__.pop("_net", None)
        free_memory()

    def engine(self) -> str:
        """The weights' name and identity, for provenance; after `setup`."""
        return engine(self.settings.model, self._net.folder)

    def find(self, image: np.ndarray, phrases: Sequence[str]) -> list[Found]:
        """The things in one picture that pass every rule; see `find_many`, which also says what was left out."""
        return self.find_many([image], [phrases])[0].found

    def find_many(self, images: Sequence[np.ndarray], phrases: Sequence[Sequence[str]]) -> list[Findings]:
        """As `GroundedSam.find_many`; `Found.mask_score` is None, for SAM 3 predicts no IoU.

        Raises:
            BackendError: the network gave no numbers.
            InputError: not an image.
        """
        return [self._one(checked(image), words) for image, words in zip(images, phrases, strict=True)]

    def present(self, image: np.ndarray, phrase: str, inside: Mask | np.ndarray) -> float:
        """As `GroundedSam.present`.

        Raises:
            Unfit: empty_phrase, phrase_too_long.
            BackendError, InputError: see `find_many`.
        """
        answer = self._ask(self._see(checked(image)), self._read(phrase), image)
        return geometry.strongest_inside(answer.boxes, answer.scores, region(inside, image))

    def _one(self, image: np.ndarray, phrases: Sequence[str]) -> Findings:
        ask = asked(phrases, self._read)
        if not ask.wordings:
            return Findings([], ask.left)
        seen = self._see(image)
        found: list[Found] = []
        for wording, phrase in zip(ask.wordings, ask.phrases, strict=True):
            found += self._instances(self._ask(seen, wording, image), phrase, image)
        persons: list[Mask] = []
        if found and self.settings.person:
            answer = self._ask(seen, self._read(self.settings.person), image)
            persons = [one.mask for one in self._instances(answer, -1, image)]
        settled = settle(found, phrases, self.settings.rules, persons)
        return Findings(settled.found, ask.left + settled.left)

    def _read(self, phrase: str) -> Tokens:
        """The tokens of a phrase between the marks of start and end.

        Raises:
            Unfit: empty_phrase, phrase_too_long.
        """
        if not any(letter.isalnum() for letter in phrase):
            raise Unfit("empty_phrase", repr(phrase[:80]), "words")
        tokens = tuple(self._tokenizer(phrase.strip())["input_ids"])
        if len(tokens) > self._length:
            raise Unfit("phrase_too_long", f"{len(tokens)} tokens", f"at most {self._length}")
        return tokens

    def _see(self, image: np.ndarray) -> Any:
        """The picture, squashed to the network's square with values -1..1, encoded."""
        import torch

        small = Image.fromarray(image).resize((self._side, self._side), Image.Resampling.BILINEAR)
        sheet = torch.from_numpy(np.asarray(small, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]  # (1, 3, S, S)
        with torch.inference_mode():
            return self._net.model.get_vision_features(pixel_values=sheet.to(self._net.device, self._net.dtype))

    def _ask(self, seen: Any, wording: Tokens, image: np.ndarray) -> _Answer:
        """All instances, however unlikely; an instance's score counts whether the phrase is in the picture at all."""
        import torch

        rest = self._length - len(wording)
        ids = torch.tensor([[*wording, *[self._tokenizer.pad_token_id] * rest]], device=self._net.device)  # (1, 32)
        real = torch.tensor([[1] * len(wording) + [0] * rest], device=self._net.device)  # (1, 32)
        with torch.inference_mode():
            out = self._net.model(vision_embeds=seen, input_ids=ids, attention_mask=real)
        scores = out.pred_logits[0].float().sigmoid()  # (Q,)
        if out.presence_logits is not None:
            scores = scores * out.presence_logits[0].float().sigmoid()
        height, width = image.shape[:2]
        boxes = out.pred_boxes[0].float().cpu().numpy() * (width, height, width, height)  # (Q, 4)
        if not np.isfinite(boxes).all() or not torch.isfinite(scores).all():
            why = f"it overflowed in {self._net.dtype}"
            raise BackendError(f"{self.settings.model} gave no numbers", why, "Use dtype=float32 or bfloat16")
        return _Answer(boxes, scores.cpu().numpy(), out.pred_masks[0])

    def _instances(self, answer: _Answer, phrase: int, image: np.ndarray) -> list[Found]:
        """Those over the threshold, with masks of the picture's size."""
        from torch.nn.functional import interpolate

        height, width = image.shape[:2]
        found: list[Found] = []
        for index in np.flatnonzero(answer.scores > self.settings.threshold).tolist():
            soft = answer.logits[index].float().sigmoid()[None, None]  # (1, 1, h, w)
            full = interpolate(soft, (height, width), mode="bilinear", align_corners=False)[0, 0]  # (H, W)
            mask = Mask.of((full > self.settings.mask_threshold).cpu().numpy())
            box = geometry.on_pixels(answer.boxes[index : index + 1], width, height)[0]
            found.append(Found(phrase, box, mask, float(answer.scores[index]), None))
        return found
