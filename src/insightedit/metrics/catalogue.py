"""Every metric by its one name. A name fixes the computation; what it is computed on, a profile fixes (`view`).

psnr            of whole pictures                    psnr_masked      SmartEdit's: black inside, over all values
psnr_background over the background's own values     psnr_brushnet    BrushNet's: 4.77 dB lower, 1000 if equal
..._2023        as the libraries of 2023 computed it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from insightedit.metrics import difference, ssim
from insightedit.metrics.clip import Framing, clip_score, cosine, direction
from insightedit.metrics.lpips import Net, Norm
from insightedit.metrics.outcome import Gap, Status
from insightedit.metrics.view import View

Picture = Literal["edited", "source", "target", "crop"]
Text = Literal["clip_text", "caption_source", "caption_target"]
Eye = Literal["clip_large", "clip_base", "dino"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a report needs to know: the heading of its column, which way is better, and how many digits tell."""

    title: str
    higher_is_better: bool = True
    digits: int = 3


@dataclass(frozen=True, kw_only=True)
class PixelMetric(Metric):
    """Computed from the view alone."""

    of: Callable[[View], float]


@dataclass(frozen=True, kw_only=True)
class LpipsMetric(Metric):
    """By a trunk; `masked`: edited places are black in both pictures."""

    net: Net
    masked: bool
    norm: Norm = "inside"
    higher_is_better: bool = False


@dataclass(frozen=True, kw_only=True)
class EmbeddingMetric(Metric):
    """From embeddings (N, D) of `pictures` and `texts`, in that order -> (N,)."""

    eye: Eye
    pictures: tuple[Picture, ...]
    of: Callable[..., np.ndarray]
    texts: tuple[Text, ...] = ()
    framing: Framing = "crop"


@dataclass(frozen=True, kw_only=True)
class JudgeMetric(Metric):
    """From a judge's scores, by question."""

    questions: tuple[str, ...]
    of: Callable[..., float]


# --- of pixels -------------------------------------------------------------------------------------------------------


def _mse(view: View) -> float:
    return difference.mse(*view.pictures)


def _mse_masked(view: View) -> float:
    return difference.mse(*view.masked)


def _mse_background(view: View) -> float:
    weight = view.background
    return difference.background_mse(*view.masked, weight)


def _mse_brushnet(view: View) -> float:
    weight = view.background
    return difference.brushnet_mse(*view.masked, weight)


def _l1_background(view: View) -> float:
    weight = view.background
    return difference.background_l1(*view.masked, weight)


def _ssim(pictures: tuple[np.ndarray, np.ndarray], cropped: bool = False) -> float:
    least = ssim.LEAST_SIDE_CROPPED if cropped else ssim.LEAST_SIDE
    if min(pictures[0].shape[:2]) < least:
        raise Gap(Status.TOO_SMALL, f"a side is {min(pictures[0].shape[:2])} px, SSIM needs {least}")
    return ssim.ssim(*pictures, cropped=cropped)


def _ssim_background(view: View) -> float:
    found = None
    if min(view.reference.shape[:2]) >= ssim.LEAST_SIDE:
        found = ssim.background_ssim(*view.pictures, view.background == 1)
    if found is None:
        raise Gap(Status.NO_BACKGROUND, "no window of SSIM (11 px) lies in the background")
    return found


def _mean(scores: tuple[float, ...]) -> float:
    return round(sum(scores) / len(scores), 2)  # as ImgEdit rounds each sample


def _part(place: int) -> Callable[[tuple[float, ...]], float]:
    def part(scores: tuple[float, ...]) -> float:
        if place >= len(scores):
            raise Gap(Status.MALFORMED, "the judge gave one score for two")
        return scores[place]

    return part


def _clip_score_100(image: np.ndarray, text: np.ndarray) -> np.ndarray:
    return clip_score(image, text, weight=100)


def _lpips(net: Net) -> dict[str, Metric]:
    return {
        f"lpips_{net}": LpipsMetric(title=f"LPIPS ({net})", net=net, masked=False),
        f"lpips_{net}_masked": LpipsMetric(title=f"LPIPS ({net}), masked", net=net, masked=True),
        f"lpips_{net}_masked_2023": LpipsMetric(
            title=f"LPIPS ({net}), masked", net=net, masked=True, norm="outside"
        ),
    }  # fmt: skip


METRICS: Mapping[str, Metric] = {
    "psnr": PixelMetric(title="PSNR", of=lambda view: difference.psnr(_mse(view))),
    "psnr_masked": PixelMetric(title="PSNR, masked", of=lambda view: difference.psnr(_mse_masked(view))),
    "psnr_background": PixelMetric(title="PSNR, background", of=lambda view: difference.psnr(_mse_background(view))),
    "psnr_brushnet": PixelMetric(title="PSNR, BrushNet's",
                                 of=lambda view: difference.brushnet_psnr(_mse_brushnet(view))),
    "mse": PixelMetric(title="MSE", of=_mse, higher_is_better=False, digits=5),
    "mse_masked": PixelMetric(title="MSE, masked", of=_mse_masked, higher_is_better=False, digits=5),
    "mse_background": PixelMetric(title="MSE, background", of=_mse_background, higher_is_better=False, digits=5),
    "mse_brushnet": PixelMetric(title="MSE, BrushNet's", of=_mse_brushnet, higher_is_better=False, digits=5),
    "l1": PixelMetric(title="L1", of=lambda view: difference.l1(*view.pictures), higher_is_better=False, digits=4),
    "l2": PixelMetric(title="L2", of=_mse, higher_is_better=False, digits=4),  # MagicBrush's word for the MSE
    "l1_background": PixelMetric(title="L1, background", of=_l1_background, higher_is_better=False, digits=4),
    "ssim": PixelMetric(title="SSIM", of=lambda view: _ssim(view.pictures)),
    "ssim_masked": PixelMetric(title="SSIM, masked", of=lambda view: _ssim(view.masked)),
    "ssim_masked_2023": PixelMetric(title="SSIM, masked", of=lambda view: _ssim(view.masked, cropped=True)),
    "ssim_background": PixelMetric(title="SSIM, background", of=_ssim_background),
    "background_share": PixelMetric(title="background", of=lambda view: float(view.weight.mean(dtype=np.float64))),
    **_lpips("squeeze"), **_lpips("alex"), **_lpips("vgg"),
    "clip_score": EmbeddingMetric(title="CLIPScore", eye="clip_large", pictures=("edited",), texts=("clip_text",),
                                  of=_clip_score_100),
    "clip_score_crop": EmbeddingMetric(title="CLIPScore, crop", eye="clip_large", pictures=("crop",),
                                       texts=("clip_text",), of=_clip_score_100),
    "clip_i": EmbeddingMetric(title="CLIP-I", eye="clip_base", pictures=("edited", "target"), of=cosine, digits=4,
                              framing="openai"),
    "clip_t": EmbeddingMetric(title="CLIP-T", eye="clip_base", pictures=("edited",), texts=("clip_text",), of=cosine,
                              digits=4, framing="openai"),
    "dino": EmbeddingMetric(title="DINO", eye="dino", pictures=("edited", "target"), of=cosine, digits=4),
    "clip_image": EmbeddingMetric(title="CLIP image similarity", eye="clip_large", pictures=("source", "edited"),
                                  of=cosine, framing="interpolate"),
    "clip_direction": EmbeddingMetric(title="CLIP direction", eye="clip_large", pictures=("source", "edited"),
                                      texts=("caption_source", "caption_target"), of=direction, framing="interpolate"),
    "clip_caption": EmbeddingMetric(title="CLIP caption similarity", eye="clip_large", pictures=("edited",),
                                    texts=("caption_target",), of=cosine, framing="interpolate"),
    "sc": JudgeMetric(title="SC", questions=("sc",), of=min),
    "pq": JudgeMetric(title="PQ", questions=("pq",), of=min),
    "overall": JudgeMetric(title="VIEScore", questions=("sc", "pq"),
                           of=lambda sc, pq: math.sqrt(max(min(sc), 0) * max(min(pq), 0))),
    "sc_followed": JudgeMetric(title="instruction followed", questions=("sc",), of=_part(0)),
    "sc_preserved": JudgeMetric(title="nothing else changed", questions=("sc",), of=_part(1)),
    "pq_natural": JudgeMetric(title="natural", questions=("pq",), of=_part(0)),
    "pq_clean": JudgeMetric(title="free of artifacts", questions=("pq",), of=_part(1)),
    "imgedit": JudgeMetric(title="ImgEdit", questions=("imgedit",), of=_mean, digits=2),
}  # fmt: skip
