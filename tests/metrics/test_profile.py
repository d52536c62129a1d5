"""Every number of tests/golden/eval that pixels give, through the profiles; and what a bad sample becomes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insightedit.core.errors import UnknownName
from insightedit.metrics import difference, ssim
from insightedit.metrics.catalogue import METRICS, PixelMetric
from insightedit.metrics.outcome import Gap, Status, status_of
from insightedit.metrics.profile import PROFILES, Profile, get
from insightedit.metrics.replies import FILTERS
from insightedit.metrics.sample import Sample
from insightedit.metrics.score import score
from insightedit.metrics.summary import summarise
from insightedit.metrics.view import judged_pair, prepare

GOLDEN = Path(__file__).parents[1] / "golden" / "eval"
EXPECTED = json.loads((GOLDEN / "expected" / "reference.json").read_text())
FILES = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())["cases"]}
CASES = pytest.mark.parametrize("case", EXPECTED["cases"], ids=[case["name"] for case in EXPECTED["cases"]])


def pixels_of(name: str) -> Profile:
    """A profile without what needs networks."""
    profile = get(name)
    return replace(profile, metrics=tuple(m for m in profile.metrics if isinstance(METRICS[m], PixelMetric)))


def rgb(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def sample_of(name: str) -> Sample:
    files, folder = FILES[name], GOLDEN / "inputs"
    source, edited = rgb(folder / files["src"]), rgb(folder / files["edit"])
    mask = np.asarray(Image.open(folder / files["mask"]).convert("L"))
    return Sample(source, edited, target=source, mask=mask)


def near(value: float, wanted: float | str, metric: str) -> bool:
    """Within the tolerances of golden/eval; infinities must be equal."""
    wanted = float(wanted)
    if math.isinf(wanted) or math.isinf(value):
        return value == wanted
    if metric == "psnr":
        return abs(value - wanted) < 1e-4
    return abs(value - wanted) < 2e-4 if metric == "ssim" else math.isclose(value, wanted, rel_tol=1e-5, abs_tol=1e-12)


def short_hash(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


# --- against the published scripts -----------------------------------------------------------------------------------


@CASES
def test_pictures_masks_and_crops_are_those_of_the_published_script(case):
    view = prepare(get("smartedit_2023"), sample_of(case["name"]))
    assert view.mask is not None
    assert short_hash(view.reference) == case["src_sha"] and short_hash(view.edited) == case["edit_sha"]
    assert short_hash(view.mask) == case["mask_sha"]
    assert np.count_nonzero(view.mask) == case["mask_nonzero"] and (view.mask > 127).sum() == case["mask_gt127"]
    assert view.weight.sum(dtype=np.float64) == pytest.approx(case["weight_sum"], rel=1e-6)
    assert list(view.crop_box) == case["crop_box"] and short_hash(view.crop) == case["crop_sha"]


@CASES
def test_masked_metrics_equal_both_generations_of_the_published_script(case):
    sample, wanted = sample_of(case["name"]), case["masked"]
    for name, ssim_key, wanted_ssim in (
        ("smartedit_tm19", "ssim_masked", wanted["ssim"]),
        ("smartedit_2023", "ssim_masked_2023", wanted["ssim_legacy_crop"]),
    ):
        found = {metric: outcome.value for metric, outcome in score(pixels_of(name), sample).items()}
        assert near(found["psnr_masked"], wanted["psnr"], "psnr")
        assert near(found["mse_masked"], wanted["mse"], "mse")
        assert near(found[ssim_key], wanted_ssim, "ssim")


@CASES
def test_the_three_conventions_of_a_masked_psnr_stay_apart(case):
    soft = replace(pixels_of("smartedit_tm19"), metrics=("psnr_background", "mse_background", "psnr_brushnet"))
    both = replace(soft, metrics=(*soft.metrics, "mse_brushnet", "psnr_masked", "psnr", "mse", "ssim"))
    found = {metric: outcome.value for metric, outcome in score(both, sample_of(case["name"])).items()}
    for convention, key in (("background_only", "background"), ("brushnet_variant", "brushnet")):
        assert near(found[f"psnr_{key}"], case[convention]["psnr"], "psnr")
        assert near(found[f"mse_{key}"], case[convention]["mse"], "mse")
    for metric in ("psnr", "mse", "ssim"):
        assert near(found[metric], case["unmasked"][metric], metric)
    if math.isfinite(found["psnr_masked"]):
        assert found["psnr_masked"] > found["psnr_background"] > found["psnr_brushnet"]


@CASES
def test_l1_and_l2_are_magicbrush_s_at_the_target_s_size(case):
    found = score(pixels_of("magicbrush"), sample_of(case["name"]))
    assert near(found["l1"].value, case["magicbrush"]["l1"], "l1")
    assert near(found["l2"].value, case["magicbrush"]["l2"], "l2")


@pytest.mark.parametrize("case", EXPECTED["raw"], ids=[case["name"] for case in EXPECTED["raw"]])
def test_bare_pairs_of_odd_and_smallest_sizes(case):
    sample = Sample(*(rgb(GOLDEN / "inputs" / f"{case['name']}.{side}.png") for side in "ab"), mask=None)
    native = Profile("native", 1, "", ("psnr", "mse", "ssim"))
    found = score(native, sample)
    assert all(near(found[metric].value, case[metric], metric) for metric in native.metrics)
    if case["ssim_legacy_crop"] != "nan":
        first, second = prepare(native, sample).pictures
        assert near(ssim.ssim(first, second, cropped=True), case["ssim_legacy_crop"], "ssim")
    else:  # smaller than the window without its frame: no number, where the library gives nan
        masked = replace(sample, mask=np.pad(np.ones((2, 2), bool), ((0, 4), (0, 4))))
        cropped = replace(native, metrics=("ssim_masked_2023",), mask=get("smartedit_2023").mask)
        assert score(cropped, masked)["ssim_masked_2023"].status == Status.TOO_SMALL


def test_the_miniature_tree_sample_by_sample_and_scenario_by_scenario():
    told = json.loads((GOLDEN / "expected" / "mini_reasonedit.json").read_text())["scenarios"]
    keys = {"psnr_masked": "psnr", "mse_masked": "mse", "ssim_masked": "ssim", "ssim_masked_2023": "ssim_legacy_crop"}
    profile = replace(get("smartedit_tm19"), metrics=tuple(keys))
    scores, groups = [], []
    for scenario, wanted in told.items():
        if scenario == "understanding_total":
            continue
        folder = GOLDEN / "mini_reasonedit" / "ReasonEdit_benckmark_dir" / scenario
        made = sorted(next((GOLDEN / "mini_reasonedit" / "outputs").glob(f"*/{outputs_of(scenario)}")).glob("*.png"))
        masks = sorted(folder.glob("*_mask.jpg"))  # by position, as published: 10_mask.jpg goes with 1.png
        for one, mask, output in zip(wanted["samples"], masks, made, strict=True):
            grey = np.asarray(Image.open(mask).convert("L"))
            found = score(profile, Sample(rgb(folder / one["file"]), rgb(output), mask=grey))
            for metric, key in keys.items():
                assert near(found[metric].value, one[key], key.split("_")[0])
            scores.append(found)
            groups.append(scenario)
    assert len(scores) == 13
    summary = summarise(profile, scores, groups)
    understood = [place for place, group in enumerate(groups) if not group.startswith("6")]
    total = summarise(profile, [scores[place] for place in understood])
    for metric, key in keys.items():
        for scenario in set(groups):
            stat = summary.groups[scenario][metric]
            assert stat.n == told[scenario]["n"] and near(stat.mean, told[scenario]["mean"][key], key.split("_")[0])
        mean = told["understanding_total"]["mean"][key]  # of samples, not of scenarios
        assert near(total.overall[metric].mean, mean, key.split("_")[0])


def outputs_of(scenario: str) -> str:
    number, _, words = scenario.partition("-")
    return f"{words.replace('-', '')}_metrics_{'1' if words == 'Reasoning' else number}"


# --- what ours adds --------------------------------------------------------------------------------------------------


def test_the_strict_background_sees_nothing_of_the_edit_and_all_of_the_rest():
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (120, 90, 3), np.uint8)
    mask = np.zeros((120, 90), bool)
    mask[40:70, 30:60] = True
    inside, outside = source.copy(), source.copy()
    inside[38:72, 28:62] ^= 255  # 2 px beyond the mask, which is grown by 3
    outside[0:4, 0:4] ^= 255
    strict = get("background_strict")
    kept, lost = (score(strict, Sample(source, edited, mask=mask)) for edited in (inside, outside))
    assert kept["psnr_background"].value == math.inf and kept["ssim_background"].value == 1
    assert kept["psnr_brushnet"].value == 1000 and kept["l1_background"].value == 0
    weight = prepare(strict, Sample(source, outside, mask=mask)).weight
    difference_of = (source.astype(float) - outside) / 255
    by_hand = (difference_of**2)[weight == 1].mean()
    assert lost["mse_background"].value == pytest.approx(by_hand, rel=1e-6)
    assert lost["psnr_background"].value == pytest.approx(-10 * math.log10(by_hand), abs=1e-5)
    assert lost["ssim_background"].value < 1 and lost["background_share"].value == pytest.approx(weight.mean())


def test_ssim_equals_the_slow_and_obvious_way_and_is_one_for_equal_pictures():
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    a = rng.random((31, 23, 3))
    b = np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1)

    def smooth(values):
        return gaussian_filter(values, (1.5, 1.5, 0), truncate=5 / 1.5, mode="mirror")

    one, two = smooth(a), smooth(b)
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * one * two + c1) * (2 * (smooth(a * b) - one * two) + c2)
    bottom = (one**2 + two**2 + c1) * (smooth(a * a) - one**2 + smooth(b * b) - two**2 + c2)
    first, second = a.astype(np.float32), b.astype(np.float32)
    assert ssim.ssim(first, second) == pytest.approx((top / bottom).mean(), abs=1e-5)
    assert ssim.ssim(first, first) == 1 and ssim.ssim(first, second) == pytest.approx(ssim.ssim(second, first))


def test_a_forward_mean_of_psnr_is_not_the_psnr_of_the_mean_error():
    errors = [0.01, 0.0001]
    assert sum(difference.psnr(error) for error in errors) / 2 == pytest.approx(30)
    assert difference.psnr(sum(errors) / 2) == pytest.approx(22.9671, abs=1e-4)


# --- bad samples -----------------------------------------------------------------------------------------------------

GREY = np.full((40, 60, 3), 128, np.uint8)
MASK = np.zeros((40, 60), np.uint8)
MASK[10:20, 20:40] = 255
WHOLE = Sample(GREY, GREY, mask=MASK)


@pytest.mark.parametrize(
    ("profile", "change", "status"),
    [
        ("smartedit_2023", {"edited": None}, Status.MISSING_OUTPUT),
        ("smartedit_2023", {"source": None}, Status.MISSING_SOURCE),
        ("smartedit_2023", {"mask": None}, Status.MISSING_MASK),
        ("smartedit_2023", {"mask": MASK * 0}, Status.EMPTY_MASK),
        ("smartedit_2023", {"mask": MASK // 255}, Status.EMPTY_MASK),  # 0 and 1 of 255 would mask nothing
        ("smartedit_2023", {"mask": MASK.astype(float)}, Status.UNREADABLE),
        ("smartedit_2023", {"mask": MASK.T.copy()}, Status.WRONG_MASK_SIZE),
        ("smartedit_2023", {"edited": GREY[..., 0]}, Status.UNREADABLE),
        ("magicbrush", {}, Status.MISSING_TARGET),
        ("background_strict", {"edited": GREY[:, :50]}, Status.WRONG_SIZE),
        ("background_strict", {"mask": MASK // 4}, Status.EMPTY_MASK),
        ("background_strict", {"mask": MASK * 0 + 255}, Status.NO_BACKGROUND),
    ],
)
def test_what_is_wrong_with_a_sample_is_a_status_and_no_number(profile, change, status):
    found = score(pixels_of(profile), replace(WHOLE, **change))
    assert status_of(found) == status
    assert all(outcome.value is None for metric, outcome in found.items() if metric != "background_share")


def test_a_full_mask_is_perfect_in_the_published_protocol_only():
    full = replace(WHOLE, edited=255 - GREY, mask=np.full((40, 60), 255, np.uint8))
    found = score(pixels_of("smartedit_tm19"), full)
    assert (found["psnr_masked"].value, found["ssim_masked"].value) == (math.inf, 1)


def test_a_mask_of_one_column_has_no_crop():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 30] = 255
    column = prepare(Profile("native", 1, "", (), mask=get("smartedit_2023").mask), replace(WHOLE, mask=mask))
    with pytest.raises(Gap) as gap:
        column.crop_box
    assert gap.value.status == Status.EMPTY_CROP


def test_a_mask_of_another_resolution_is_brought_to_the_picture_s():
    half = Sample(GREY, GREY, mask=MASK[::2, ::2].copy())
    assert status_of(score(pixels_of("background_strict"), half)) == Status.OK


def test_every_profile_names_metrics_and_filters_that_exist_and_none_guesses():
    for name, profile in PROFILES.items():
        assert profile.name == name and set(profile.metrics) <= set(METRICS) and profile.source
        if profile.judge:
            assert profile.judge.replies in FILTERS and "published" not in profile.judge.replies
    with pytest.raises(UnknownName, match="Did you mean 'gedit'"):
        get("gedti")


def test_each_judge_sees_the_pair_as_its_publication_showed_it():
    wide = Sample(np.zeros((100, 3000, 3), np.uint8), np.zeros((50, 2000, 3), np.uint8))
    assert [image.shape[:2] for image in judged_pair(get("viescore_0_10"), wide)] == [(100, 3000), (50, 2000)]
    assert [image.shape[:2] for image in judged_pair(get("gedit"), wide)] == [(100, 3000)] * 2
    assert [image.shape[:2] for image in judged_pair(get("viescore_insightedit_0_5"), wide)] == [(37, 1500)] * 2
    with pytest.raises(Gap):
        judged_pair(get("gedit"), replace(wide, edited=None))
