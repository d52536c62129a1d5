"""Named profiles: which numbers of which publication, and every convention that they hang on.

A number without its profile says little: one picture has three PSNRs, two SSIMs and two CLIPScores, depending on whose
script is run. Metrics are listed in `metrics.catalogue`, conventions and their traps in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from insightedit.core.errors import UnknownName
from insightedit.core.lookup import suggest

Overall = Literal["pooled", "macro"]


@dataclass(frozen=True)
class MaskRule:
    """What a mask means.

    Fields:
        threshold: values above it are 255, all others 0; None keeps them as weights (grey = half background).
        dilate_px: how far the mask grows after that, in px of the compared size.
    """

    threshold: int | None = None
    dilate_px: int = 0


@dataclass(frozen=True)
class JudgeRule:
    """How a chat model judges.

    Fields:
        top: of the scale; `least` its bottom.
        questions: asked about each sample; keys of `Sample.replies`.
        replies: the filter (`metrics.replies`) that reads stored answers; no profile's default ever guesses.
        pair: how the two pictures are brought to one size before they are shown.
        published: the judge of the published numbers.
    """

    top: Literal[5, 10]
    least: int
    questions: tuple[str, ...]
    replies: str
    pair: Literal["as_is", "fit_edited", "least"]
    published: str


@dataclass(frozen=True)
class Profile:
    """One way of scoring. Raise `version` whenever a number could change.

    Fields:
        name, version: what a report is filed under; reports of two profiles or versions are not compared.
        source: whose numbers these are.
        metrics: names in `metrics.catalogue.METRICS`.
        against: the picture that the edited one is compared with.
        side: px; both pictures and the mask are squashed to this square. None = compared at the reference's size.
        fit: without `side`: an edited picture of another size is resized (bicubic) to the reference's; else refused.
        mask: what the mask means; None = no mask is looked at.
        judge: how a chat model is asked; None = it is not.
        overall: "pooled" = mean over samples; "macro" = mean over the groups' means.
        digits: a group's mean is rounded to so many before the macro mean is taken; None = it is not.
    """

    name: str
    version: int
    source: str
    metrics: tuple[str, ...]
    against: Literal["source", "target"] = "source"
    side: int | None = None
    fit: bool = False
    mask: MaskRule | None = None
    judge: JudgeRule | None = None
    overall: Overall = "pooled"
    digits: int | None = None


_VIE = ("sc", "pq", "overall", "sc_followed", "sc_preserved", "pq_natural", "pq_clean")
_SOFT = MaskRule()
_ALL = (
    Profile(
        "smartedit_2023", 1, "SmartEdit's script with torchmetrics up to 1.2.0; InsightEdit by assumption",
        ("psnr_masked", "ssim_masked_2023", "lpips_squeeze_masked_2023", "clip_score_crop", "mse_masked"),
        side=256, mask=_SOFT,
    ),
    Profile(
        "smartedit_tm19", 1, "SmartEdit's script with torchmetrics 1.9",
        ("psnr_masked", "ssim_masked", "lpips_squeeze_masked", "clip_score_crop", "mse_masked"),
        side=256, mask=_SOFT,
    ),
    Profile(
        "magicbrush", 1, "MagicBrush's evaluation/image_eval.py",
        ("l1", "l2", "clip_i", "dino", "clip_t"), against="target", fit=True,
    ),
    Profile(
        "background_strict", 1, "ours: the error of what was not to change, and of nothing else",
        ("psnr_background", "ssim_background", "l1_background", "mse_background", "psnr_brushnet", "background_share"),
        mask=MaskRule(threshold=127, dilate_px=3),
    ),
    Profile(
        "instruct_pix2pix", 1, "InstructPix2Pix' metrics (one point of its curve)",
        ("clip_image", "clip_direction", "clip_caption"),
    ),
    Profile(
        "viescore_0_10", 1, "VIEScore, text-guided image editing; min per question, square root per sample", _VIE,
        judge=JudgeRule(10, 0, ("sc", "pq"), "strict", "as_is", "gpt-4o-2024-05-13"),
    ),
    Profile(
        "viescore_insightedit_0_5", 1, "InsightEdit's data filter, whose scores are reported raw", _VIE,
        judge=JudgeRule(5, 0, ("sc", "pq"), "strict", "least", "gpt-4o"),
    ),
    Profile(
        "gedit", 1, "GEdit-Bench (Step1X-Edit): VIEScore, mean over the means of 11 groups", _VIE,
        judge=JudgeRule(10, 0, ("sc", "pq"), "strict", "fit_edited", "gpt-4.1"), overall="macro",
    ),
    Profile(
        "imgedit", 1, "ImgEdit-Bench: three criteria from 1 to 5, mean over the means of 9 types", ("imgedit",),
        judge=JudgeRule(5, 1, ("imgedit",), "imgedit_strict", "as_is", "gpt-4o or GPT-4.1, sources differ"),
        overall="macro", digits=2,
    ),
)  # fmt: skip
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}


def get(name: str) -> Profile:
    """The profile of a name.

    Raises:
        UnknownName: there is none; the nearest name is suggested.
    """
    if name not in PROFILES:
        raise UnknownName(f"no profile '{name}'", "it is not in the table", suggest(name, PROFILES))
    return PROFILES[name]
