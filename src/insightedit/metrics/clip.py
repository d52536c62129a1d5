"""CLIP (Radford et al. 2021) as a measure: image and text embeddings, and what is computed of them.

Embeddings are float32 (N, D) of length 1, so a cosine is a dot product. The network is loaded by `setup`; the measures
below the class are arithmetic on embeddings and need no torch.

Which framing belongs to which published number:
    interpolate   the pair filter and the metrics of InstructPix2Pix (Brooks et al. 2023)
    crop          CLIPScore (Hessel et al. 2021, torchmetrics, SmartEdit)
    openai        CLIP-I and CLIP-T of MagicBrush
    squash        ours, where no published number is compared: the whole picture, antialiased
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from insightedit.core.device import quiet
from insightedit.core.errors import InputError
from insightedit.core.weights import find, loading, whole
from insightedit.metrics.embedder import Embedder, EmbedderKnobs

if TYPE_CHECKING:
    import torch

Framing = Literal["squash", "crop", "openai", "interpolate"]
PREFIX = "A photo depicts "  # Hessel et al. put it before every caption; torchmetrics and SmartEdit do not
WEIGHT = 2.5  # w of Hessel et al., section 3


class ClipKnobs(EmbedderKnobs):
    """Which CLIP, where it runs, and how a picture becomes the network's square.

    `model` is a folder in the public layout of `CLIPModel` or a hub id; `framing` is "squash" (bicubic to the square,
    antialiased, aspect ignored), "crop" (short side to the square, centre cut out: transformers'), "openai" (as crop,
    but half pixels round as in OpenAI's own code) or "interpolate" (as squash, but bicubic on floats without
    antialiasing: what InstructPix2Pix filtered with).
    """

    model: str = "openai/clip-vit-large-patch14"
    framing: Framing = "squash"


@dataclass(frozen=True, eq=False)
class _Loaded:
    model: Any  # CLIPModel
    tokenizer: Any
    mean: np.ndarray  # (3,), of pixels in 0..1
    std: np.ndarray  # (3,)
    side: int  # px of the network's square
    width: int  # D


class Clip(Embedder[_Loaded]):
    """Pictures and sentences -> embeddings of length 1.

    Args:
        settings: see `ClipKnobs`; None for its defaults.
    """

    def __init__(self, settings: ClipKnobs | None = None) -> None:
        self.settings = settings or ClipKnobs()
        super().__init__(self.settings)

    def images(self, batch: Sequence[np.ndarray], framing: Framing | None = None) -> np.ndarray:
        """Embeddings of pictures, float32 (N, D), each of length 1.

        Args:
            batch: uint8 RGB (H, W, 3), of any sizes.
            framing: over the settings' own, so that one network serves measures of different publications.

        Raises:
            InputError: a picture of another kind; or as `setup`.
            BackendError: the network failed, for want of memory even by single pictures or otherwise; or as `setup`.
            ConfigError: as `setup`.
        """
        for picture in batch:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
                seen = f"{picture.dtype} {picture.shape}"
                raise InputError("CLIP cannot read a picture", f"it is {seen}", "Give uint8 RGB (H, W, 3)")
        chosen = framing or self.settings.framing
        return self._embedded("CLIP failed", batch, lambda loaded, few: _see(loaded, few, chosen))

    def texts(self, batch: Sequence[str]) -> np.ndarray:
        """Embeddings of sentences, float32 (N, D), each of length 1. What exceeds 77 tokens is cut off.

        Raises:
            InputError, ConfigError, BackendError: as `images`.
        """
        return self._embedded("CLIP failed", batch, _read)

    def _load(self, device: torch.device, dtype: torch.dtype) -> _Loaded:
        folder = find(self.settings.model, self.settings.revision)
        with quiet():
            from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

            mend = "Give a folder in the layout of openai/clip-vit-large-patch14, or download it again"
            with loading(f"CLIP from {folder}", mend):
                model = whole(CLIPModel, folder, dtype=dtype).eval().to(device)
                tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
                pixels = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
        mean, std = (np.asarray(values, np.float32) for values in (pixels.image_mean, pixels.image_std))
        return _Loaded(
            model, tokenizer, mean, std, int(model.config.vision_config.image_size), int(model.config.projection_dim)
        )


# --- the network -----------------------------------------------------------------------------------------------------


def _see(loaded: _Loaded, pictures: Sequence[np.ndarray], framing: Framing) -> list[np.ndarray]:
    import torch

    model = loaded.model
    squares = np.stack([framed(picture, loaded.side, framing) for picture in pictures])  # (N, S, S, 3)
    pixels = torch.from_numpy((squares - loaded.mean) / loaded.std).permute(0, 3, 1, 2)  # (N, 3, S, S)
    with torch.inference_mode():
        seen = model.vision_model(pixel_values=pixels.to(model.device, model.dtype)).pooler_output
        return list(_unit(model.visual_projection(seen)))  # (N, D)


def _read(loaded: _Loaded, sentences: Sequence[str]) -> list[np.ndarray]:
    import torch

    model, longest = loaded.model, loaded.model.config.text_config.max_position_embeddings
    tokens = loaded.tokenizer(
        list(sentences), padding=True, truncation=True, max_length=longest, return_tensors="pt"
    ).to(model.device)  # (N, L)
    with torch.inference_mode():
        read = model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output
        return list(_unit(model.text_projection(read)))  # (N, D)


def _unit(vectors: torch.Tensor) -> np.ndarray:
    found = vectors.float().cpu().numpy()  # (N, D)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def framed(picture: np.ndarray, side: int, framing: Framing) -> np.ndarray:
    """The network's square of a picture, float32 (side, side, 3) in 0..1; see `ClipKnobs` for the framings.

    Args:
        picture: uint8 RGB (H, W, 3).
        side: px.
        framing: "interpolate" may overshoot 0..1 a little, as bicubic curves do on floats.
    """
    if framing == "interpolate":
        return _interpolated(picture, side)
    if framing == "openai":
        return centred(picture, side, side)
    height, width = picture.shape[:2]
    short = min(height, width)
    size = (side, side) if framing == "squash" else (side * width // short, side * height // short)
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return resized[top : top + side, left : left + side].astype(np.float32) / 255


def centred(picture: np.ndarray, short: int, side: int) -> np.ndarray:
    """The centre of a picture as torchvision's Resize and CenterCrop cut it out, float32 (side, side, 3) in 0..1.

    Args:
        picture: uint8 RGB (H, W, 3).
        short: px of the short side after resizing (bicubic, antialiased).
        side: px, at most `short`.
    """
    height, width = picture.shape[:2]
    least = min(height, width)
    size = (short * width // least, short * height // least)
    resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    left, top = (round((length - side) / 2) for length in size)  # halves to even, as there
    return resized[top : top + side, left : left + side].astype(np.float32) / 255


def _interpolated(picture: np.ndarray, side: int) -> np.ndarray:
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    square = F.interpolate(pixels, size=(side, side), mode="bicubic", align_corners=False)  # (1, 3, S, S)
    return square[0].permute(1, 2, 0).numpy()


# --- measures of embeddings ------------------------------------------------------------------------------------------


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Row by row, in -1..1; 0 where a row has no length, NaN where it holds one. (N, D) or (D,) each -> (N,)

    Of two image embeddings this is CLIP-I, of image and text CLIP-T (both raw; `clip_score` is another thing).
    """
    dots = (one * other).sum(axis=-1)
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray(np.divide(dots, lengths, out=np.zeros_like(dots), where=~(lengths <= 1e-8)))


def direction(before: np.ndarray, after: np.ndarray, said_before: np.ndarray, said_after: np.ndarray) -> np.ndarray:
    """Directional similarity cos(I1 - I0, T1 - T0), Gal et al. (2021): did the picture change as the words did?

    Args:
        before, after: embeddings of the pictures, of length 1, (N, D).
        said_before, said_after: embeddings of their captions, of length 1, (N, D) or (D,).

    Returns:
        (N,) in -1..1; 0 where picture or caption did not change, as published.
    """
    return cosine(after - before, said_after - said_before)


def clip_score(image: np.ndarray, text: np.ndarray, weight: float = WEIGHT) -> np.ndarray:
    """CLIPScore w max(cos, 0), Hessel et al. (2021), in 0..w. (N, D) each -> (N,)

    As published the pictures are framed by "crop", and the captions begin with `PREFIX`. Weight 100 gives the scale of
    torchmetrics.
    """
    return np.asarray(weight * np.maximum(cosine(image, text), 0))


@dataclass(frozen=True, eq=False)
class PairScores:
    """What CLIP says of N pairs of pictures under one pair of captions: four cosines each, (N,)."""

    before: np.ndarray  # first picture and first caption
    after: np.ndarray  # second picture and second caption
    direction: np.ndarray
    image: np.ndarray  # first and second picture


def pair_scores(
    clip: Clip, pairs: np.ndarray, caption: str, edited: str, framing: Framing = "interpolate"
) -> PairScores:
    """The four similarities that InstructPix2Pix filters its pairs by.

    Args:
        clip: the network.
        pairs: uint8 (N, 2, H, W, 3), before and after.
        caption: of the first pictures.
        edited: of the second.
        framing: how pictures become squares; the published thresholds belong to "interpolate".

    Raises:
        InputError, ConfigError, BackendError: as `Clip.images`.
    """
    before, after = (clip.images(list(pairs[:, side]), framing) for side in (0, 1))  # 2 x (N, D)
    said, then = clip.texts([caption, edited])  # 2 x (D,)
    return PairScores(
        cosine(before, said), cosine(after, then), direction(before, after, said, then), cosine(before, after)
    )
