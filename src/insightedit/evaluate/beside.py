"""Which published numbers may stand beside a result: the same benchmark, the same script, the same judge, or none."""

from __future__ import annotations

from collections.abc import Mapping

from insightedit.evaluate.results import TRUTH, ProfileUsed, Results
from insightedit.metrics.profile import PROFILES

TABLES: Mapping[tuple[str, str], str] = {
    ("reason-edit", "smartedit_2023"): (
        "SmartEdit's table on Reason-Edit (Huang et al. 2024: PSNR, SSIM, LPIPS, CLIPScore) may stand beside this; its "
        "Ins-align is a judgement by people. So may InsightEdit's, by assumption: no evaluation code was released."
    ),
    ("reason-edit", "smartedit_tm19"): (
        "SmartEdit's PSNR and CLIPScore are computed alike; its SSIM and LPIPS are older ones, see smartedit_2023."
    ),
    ("reason-edit", "viescore_0_10"): (
        "InsightEdit's VIEScore on Reason-Edit is printed below 1, on a scale not told: it stands beside nothing."
    ),
    ("advancededit-eval", "smartedit_2023"): (
        "InsightEdit's main table may stand beside this if the pairs are the authors' own, and by assumption: neither "
        "its masks nor its CLIP texts are told. A set drawn by `insightedit eval-set` stands beside none of them."
    ),
    ("advancededit-eval", "viescore_0_10"): (
        "InsightEdit prints 0.831 and 7.545 for one model; neither is the other divided by ten. Beside 7.545, at most."
    ),
    ("magicbrush-single", "magicbrush"): "MagicBrush's single-turn table (Zhang et al. 2023) may stand beside this.",
    ("magicbrush-multi", "magicbrush"): "MagicBrush's multi-turn table (Zhang et al. 2023) may stand beside this.",
    ("gedit-en", "gedit"): "GEdit-Bench EN (G_SC, G_PQ, G_O), full and intersection, may stand beside this.",
    ("gedit-cn", "gedit"): "GEdit-Bench CN (G_SC, G_PQ, G_O), full and intersection, may stand beside this.",
    ("imgedit", "imgedit"): "ImgEdit-Bench's table of nine types may stand beside this.",
}


def beside(results: Results, profile: ProfileUsed) -> list[str]:
    """What to tell a reader who wants to compare.

    Args:
        results: the benchmark, and whether all of it was run.
        profile: what was scored, and by which judge.
    """
    if profile.name == TRUTH:
        return ["Shares of samples. Nobody else has published numbers on these scenes."]
    found = TABLES.get((results.benchmark.name, profile.name))
    if found is None:
        own = "background_strict" in profile.name
        why = "the profile is this project's own" if own else "none are known for this profile on this benchmark"
        return [f"No published numbers stand beside this: {why}."]
    if results.limit is not None or results.named:
        return ["Only a part of the benchmark was run: no published numbers stand beside this."]
    rule = PROFILES[profile.name].judge if profile.name in PROFILES else None
    if rule is None:
        return [found]
    judge = profile.judge.model if profile.judge else "nobody"
    return [found, f"Judged by {judge}; published numbers by {rule.published}. Never compare across judges."]
