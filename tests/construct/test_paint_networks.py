"""Step 3 by networks: what is planned, painted, chosen, stored and refused."""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from fake_painters import Noise, Shifted
from PIL import Image

from insightedit.backends.paint.painter import Canvas
from insightedit.backends.paint.recolour import Painted
from insightedit.backends.paint.table import PAINTERS
from insightedit.construct.paint import PaintKnobs
from insightedit.construct.paint_networks import PaintByNetworks, Plan, by_clip, by_fill, kept_off, region
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Description, Painting, Segmentation, Work
from insightedit.core.errors import BackendError, ConfigError, UnknownName
from insightedit.core.image import decode_own
from insightedit.core.mask import Mask
from insightedit.core.record import Edit, Object, Photo, Reject, Replacement, Rle
from insightedit.core.seed import derive
from insightedit.metrics.fill import fill_features, fill_score
from insightedit.metrics.pixel import outside_difference

WIDTH, HEIGHT = 240, 200
CUP, POT = (24, 30, 64, 70), (110, 70, 150, 120)
GLOBE = Replacement(name="globe", detail="made of brass")
TARGETS = {"cup": [Replacement(name="teapot", detail="an old teapot"), Replacement(name="lamp")], "pot": [GLOBE]}


class Fussy(Noise):
    """Fails on some prompts."""

    name = "fussy"

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        if any("teapot" in canvas.prompt for canvas in canvases):
            raise BackendError("it cannot paint a teapot", "it never could", "Ask for something else")
        return super()._paint(canvases)


class Idle(Noise):
    """Gives back what it got."""

    name = "idle"

    def _paint(self, canvases: Sequence[Canvas]) -> list[np.ndarray]:
        return [canvas.image for canvas in canvases]


class Eraser(Noise):
    """Knows removals only, and paints the ground's colour."""

    name = "eraser"
    tasks = frozenset({"remove"})


FAKES = {kind.name: kind for kind in (Noise, Shifted, Fussy, Idle, Eraser)}


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    """The painters by name."""
    for name, kind in FAKES.items():
        monkeypatch.setitem(sys.modules, f"fake_{name}", SimpleNamespace(**{kind.__name__: kind}))
        monkeypatch.setitem(PAINTERS, name, f"fake_{name}:{kind.__name__}")


def thing(name: str, box: tuple[int, int, int, int], **known: Any) -> Object:
    full = np.zeros((HEIGHT, WIDTH), bool)
    full[box[1] : box[3], box[0] : box[2]] = True
    mask = Mask.of(full)
    facts = {"mask_score": 0.9, "rim": 0.9, "area": mask.area, "box": list(mask.box), "mask": Rle(**mask.rle())}
    facts["targets"] = TARGETS.get(name, [])
    return Object(**({"object_id": f"o-{name}", "category": name, "name": name} | facts | known))


CUP_THING, POT_THING = thing("cup", CUP), thing("pot", POT, colour="green", detail="a dented pot")


def photograph(root: Path, name: str, *objects: Object, seed: int = 0, contrast: float = 1.0) -> Work:
    """A cluttered picture on disk, a gray one without contrast, with its objects."""
    pixels = np.random.default_rng(seed).integers(60, 200, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    pixels = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    pixels = np.uint8(120 + contrast * (pixels - 120.0).clip(-60, 80))
    Image.fromarray(pixels).save(root / f"{name}.png")
    digest = hashlib.sha256((root / f"{name}.png").read_bytes()).hexdigest()
    size = {"width": WIDTH, "height": HEIGHT, "orig_width": WIDTH, "orig_height": HEIGHT}
    photo = Photo(photo_id=name, uri=f"{name}.png", sha256=digest, phash=0, cluster=name, **size)
    described = Description(photo_id=name, caption="", objects=list(objects))
    return Work(photo, {"describe": described, "segment": Segmentation(photo_id=name, objects=list(objects))})


def step(root: Path, painter: str = "noise", seed: int = 3, **given: Any) -> PaintByNetworks:
    """With small canvases; `removal` and `replacement` of the networks, and whatever else of the section."""
    settings = {"side": 64, **given.pop("settings", {})}
    chosen = {
        task: {"painter": painter, "settings": settings, **given.pop(task, {})} for task in ("removal", "replacement")
    }
    networks = {**chosen, **given.pop("networks", {})}
    given = {"backend": "networks", "networks": networks, "compose": False, **given}
    rules = {"removal": {"halo": False, **given.pop("rules", {})}}
    return PaintByNetworks(PaintKnobs(**given, **rules), seed, root, SourceKnobs())


def painted(made: PaintByNetworks, work: Work) -> Painting:
    (result,) = made.process([work])
    assert isinstance(result, Painting)
    return result


def pictures(painting: Painting) -> dict[str, np.ndarray]:
    return {picture.sha256: decode_own(picture.jpeg) for picture in painting.pictures}


def support_of(edit: Edit) -> np.ndarray:
    return Mask.from_rle(edit.mask.model_dump()).full()


# --- what comes out --------------------------------------------------------------------------------------------------


def test_every_object_is_removed_and_replaced_by_its_first_targets(tmp_path):
    painting = painted(step(tmp_path), photograph(tmp_path, "a", CUP_THING, POT_THING))
    assert [(one.object_id, one.task, one.method, one.object_after) for one in painting.edits] == [
        ("o-cup", "remove_add", "removal", None),
        ("o-pot", "remove_add", "removal", None),
        ("o-cup", "replace", "replacement", "teapot"),
        ("o-pot", "replace", "replacement", "globe"),
    ]
    globe = painting.edits[-1]
    assert (globe.object_before, globe.detail_before, globe.look_before) == ("pot", "a dented pot", "green")
    assert (globe.category_after, globe.detail_after, globe.look_after) == ("globe", "made of brass", None)
    assert {one.engine for one in painting.edits} == {"noise:noise@1"} and painting.rejects == []
    assert len({one.edit_id for one in painting.edits}) == 4


def test_what_is_stored_is_equal_outside_the_support_and_changed_inside(tmp_path):
    for name in ("noise", "shifted"):
        painting = painted(step(tmp_path, name), photograph(tmp_path, "a", CUP_THING, POT_THING))
        seen = pictures(painting)
        for edit in painting.edits:
            source, edited, support = seen[edit.source_sha256], seen[edit.edited_sha256], support_of(edit)
            assert outside_difference(source, edited, support) == (True, None)
            assert support.any() and not support.all() and (source != edited).any()
            own = Mask.from_rle(dict(CUP_THING.mask if edit.object_id == "o-cup" else POT_THING.mask)).full()
            assert support[own].all() and support.sum() > own.sum()


def test_the_painter_reads_task_and_words_of_the_target(tmp_path):
    made, asked = step(tmp_path, replacement={"per_object": 2}), []
    painter = made.painters["replace"]
    inner = painter._paint
    painter._paint = lambda canvases: asked.extend((one.task, one.prompt) for one in canvases) or inner(canvases)
    painted(made, photograph(tmp_path, "a", CUP_THING, POT_THING))
    wanted = [("remove", ""), ("remove", ""), ("replace", "an old teapot"), ("replace", "globe, made of brass")]
    assert sorted(asked) == sorted([*wanted, ("replace", "lamp")])


def test_pictures_follow_from_the_seed_whatever_lies_beside_them(tmp_path):
    works = [photograph(tmp_path, name, POT_THING, seed=at) for at, name in enumerate("abc")]
    together = step(tmp_path).process(works)
    assert together == [painted(step(tmp_path), work) for work in works]
    single = step(tmp_path, settings={"batch_size": 1}, place={"batch_size": 1})
    assert painted(single, works[1]) == together[1]
    other = painted(step(tmp_path, seed=4), works[0])
    assert [one.edit_id for one in other.edits] == [one.edit_id for one in together[0].edits]
    assert not {one.edited_sha256 for one in other.edits} & {one.edited_sha256 for one in together[0].edits}
    for edit in other.edits:
        assert edit.seed == derive(4, edit.edit_id, 0)


def test_a_pickled_step_paints_the_same(tmp_path):
    made, work = step(tmp_path), photograph(tmp_path, "a", POT_THING)
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - its own
    assert painted(again, work) == painted(made, work)


def test_a_removal_and_a_replacement_of_one_object_are_composed_when_asked(tmp_path):
    painting = painted(step(tmp_path, compose=True), photograph(tmp_path, "a", POT_THING))
    assert [one.method for one in painting.edits] == ["removal", "replacement", "composed"]


# --- where it paints -------------------------------------------------------------------------------------------------


def test_a_neighbour_that_touches_stays_whole(tmp_path):
    """A small ball beside the cup, met by less of its outline than ground would be."""
    ball = thing("ball", (67, 40, 77, 50))
    painting = painted(step(tmp_path), photograph(tmp_path, "a", CUP_THING, ball))
    seen, own = pictures(painting), Mask.from_rle(dict(ball.mask)).full()
    for edit in [one for one in painting.edits if one.object_id == "o-cup"]:
        assert not (support_of(edit) & own).any() and support_of(edit)[40:50, 78:80].any()
        equal, _ = outside_difference(seen[edit.source_sha256], seen[edit.edited_sha256], support_of(edit))
        assert equal


def test_paint_is_taken_off_what_must_stay():
    image, paint = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 9, np.uint8)
    hole, keep = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    hole[2:6, 2:6], keep[2:6, 5:] = True, True
    left = kept_off(Painted(np.where(hole[..., None], paint, image), hole), image, keep)
    assert np.array_equal(left.support, hole & ~keep)
    assert (left.image[left.support] == 9).all() and not left.image[~left.support].any()


def test_a_soft_shadow_goes_with_a_removal_and_stays_at_a_replacement():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    far = np.hypot(x - 120, y - 100)
    light = 200 - 60 * np.exp(-((np.maximum(far - 20, 0) / 9) ** 2))
    image = np.repeat(np.where(far <= 20, 40, light)[..., None], 3, axis=2).astype(np.uint8)
    mask = Mask.of(far <= 20)
    ball = Object(object_id="o", category="ball", name="ball", box=list(mask.box), mask=Rle(**mask.rle()))
    knobs, nothing = PaintKnobs().removal, np.zeros((HEIGHT, WIDTH), bool)
    wide = region(image, ball, nothing, "remove", knobs)
    assert wide[mask.full()].all() and wide.sum() > 1.5 * mask.area
    assert np.array_equal(region(image, ball, nothing, "replace", knobs), mask.full())
    off = knobs.model_copy(update={"halo": False})
    assert np.array_equal(region(image, ball, nothing, "remove", off), mask.full())


# --- which attempt ---------------------------------------------------------------------------------------------------


def test_the_best_of_the_attempts_is_kept_with_its_seed(tmp_path):
    made = step(tmp_path, removal={"attempts": 3, "best_by": "fill"}, replacement={"per_object": 0})
    work = photograph(tmp_path, "a", POT_THING)
    made.scores["remove"] = lambda image, some, plan: [None, 0.2, 0.7][: len(some)]
    (edit,) = painted(made, work).edits
    assert edit.seed == derive(3, edit.edit_id, 2) and edit.hints == {"attempt": 2.0, "score": 0.7}
    made.scores["remove"] = lambda image, some, plan: [0.9, 0.2, None][: len(some)]
    (other,) = painted(made, work).edits
    assert other.seed == derive(3, edit.edit_id, 0) and other.edited_sha256 != edit.edited_sha256
    made.scores["remove"] = lambda image, some, plan: [None] * len(some)
    assert [one.reason for one in painted(made, work).rejects] == ["no_scored_attempt"]


def test_fill_and_clip_score_as_they_say():
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    support = np.zeros((HEIGHT, WIDTH), bool)
    support[40:80, 40:90] = True
    loud = np.where(support[..., None], np.random.default_rng(0).integers(0, 256, image.shape, np.uint8), image)
    made = [Painted(loud, support), Painted(image, support), Painted(image, np.zeros_like(support))]
    removal = Plan("e", POT_THING)
    quality = by_fill(image, made, removal)
    assert quality[0] == fill_score(fill_features(image, loud, support)) < quality[1]

    class Eye:
        """Embeds a crop as its mean lightness against 120, and every text as lightness."""

        said: list[str] = []

        def images(self, crops):
            assert {crop.shape for crop in crops} == {(40, 50, 3)}
            return np.array([[1.0, abs(float(crop.std()))] for crop in crops]) / 100

        def texts(self, words):
            self.said += words
            return np.array([[0.0, 1.0]])

    noisy, plain, nothing = by_clip(Eye(), image, made, Plan("e", POT_THING, GLOBE))
    assert noisy > 0.9 and plain == 0 and nothing is None
    assert by_clip(Eye(), image, made, removal)[0] == -noisy
    assert Eye.said == ["a photo of globe", "a photo of pot"]


# --- what is left out ------------------------------------------------------------------------------------------------


def reasons(painting: Painting) -> list[tuple[str, str]]:
    assert all(one.step == "paint" and one.photo_id == "a" and one.seen and one.wanted for one in painting.rejects)
    return sorted((one.object_id, one.reason) for one in painting.rejects)


@pytest.mark.parametrize(
    ("known", "refused"),
    [
        ({"removable": False, "unfit_because": "a wall"}, ["not_removable"]),
        ({"replaceable": False, "unfit_because": "a dog"}, ["not_replaceable"]),
        ({"mask_score": 0.1}, ["weak_mask", "weak_mask"]),
        ({"targets": []}, ["no_target"]),
        ({"box_": (10, 10, 16, 16)}, ["too_small_to_replace"]),
        ({"box_": (5, 5, 210, 190)}, ["too_large_to_remove", "too_large_to_replace"]),
        ({"box_": (0, 0, 60, 60)}, ["cut_by_frame", "cut_by_frame"]),
    ],
)
def test_a_rule_that_forbids_is_a_reject(tmp_path, known, refused):
    pot = thing("pot", known.pop("box_", POT)).but(**known)
    painting = painted(step(tmp_path), photograph(tmp_path, "a", pot))
    assert reasons(painting) == [("o-pot", reason) for reason in refused]
    assert len(painting.edits) == 2 - len(refused)


def test_what_holds_another_thing_is_not_replaced_even_where_that_has_no_mask(tmp_path):
    work = photograph(tmp_path, "a", POT_THING)
    plant = POT_THING.but(object_id="plant", box=[100, 20, 160, 100], mask=None)
    nowhere = POT_THING.but(object_id="idea", box=[], mask=None)
    work = work.with_value("describe", Description(photo_id="a", caption="", objects=[POT_THING, plant, nowhere]))
    assert reasons(painted(step(tmp_path), work)) == [("o-pot", "holds_another_object")] * 2


def test_an_edit_that_cannot_be_painted_is_a_reject_and_the_next_plan_takes_its_place(tmp_path):
    made = step(tmp_path, "fussy", replacement={"per_object": 2}, max_edits=4)
    painting = painted(made, photograph(tmp_path, "a", CUP_THING, POT_THING))
    assert reasons(painting) == [("o-cup", "painter_failed")] and "teapot" in painting.rejects[0].seen
    assert [one.object_after for one in painting.edits] == [None, None, "globe", "lamp"]
    assert painting.rejects[0].edit_id not in {"", *(one.edit_id for one in painting.edits)}


def test_no_more_is_painted_than_asked_for(tmp_path):
    painting = painted(step(tmp_path, max_edits=3), photograph(tmp_path, "a", CUP_THING, POT_THING))
    assert len(painting.edits) == 3 and len(painting.pictures) == 4


def test_a_painter_that_changes_nothing_is_found_out(tmp_path):
    painting = painted(step(tmp_path, "idle"), photograph(tmp_path, "a", POT_THING, contrast=0.0))
    assert reasons(painting) == [("o-pot", "nothing_changed")] * 2 and painting.edits == []


def test_an_unreadable_photograph_leaves_alone(tmp_path):
    good, bad = (photograph(tmp_path, name, POT_THING) for name in "ab")
    (tmp_path / "b.png").write_bytes(b"no picture any more")
    kept, lost = step(tmp_path).process([good, bad])
    assert isinstance(kept, Painting) and isinstance(lost, Reject)
    assert (lost.photo_id, lost.reason, lost.step) == ("b", "changed_since_scan", "paint")


# --- painters --------------------------------------------------------------------------------------------------------


def test_equal_choices_share_a_painter_and_release_lets_it_go(tmp_path):
    made, work = step(tmp_path), photograph(tmp_path, "a", POT_THING)
    painter = made.painters["remove"]
    assert made.painters["replace"] is painter and painter.loads == 0 and made.share() == 0.5
    made.setup()
    before = painted(made, work)
    assert painter.loads == 1
    made.release()
    assert not painter._ready
    made.setup()
    assert painter.loads == 2 and painted(made, work) == before


def test_removal_and_replacement_have_painters_of_their_own(tmp_path):
    made = step(tmp_path, removal={"painter": "eraser"})
    painting = painted(made, photograph(tmp_path, "a", POT_THING))
    assert [one.engine for one in painting.edits] == ["eraser:noise@1", "noise:noise@1"] and made.share() == 1.0
    assert step(tmp_path, place={"device_share": 0.3}).share() == 0.3


def test_what_is_switched_off_needs_no_painter(tmp_path):
    only = step(tmp_path, "eraser", replacement={"per_object": 0})
    assert [one.method for one in painted(only, photograph(tmp_path, "a", POT_THING)).edits] == ["removal"]
    only = step(tmp_path, removal={"painter": "no such"}, rules={"enabled": False})
    assert [one.method for one in painted(only, photograph(tmp_path, "a", POT_THING)).edits] == ["replacement"]


def test_mistakes_in_the_recipe_are_said_before_anything_is_painted(tmp_path):
    with pytest.raises(UnknownName, match="powerpaint_v2"):
        step(tmp_path, "powerpaint")
    with pytest.raises(ConfigError, match="steps"):
        step(tmp_path, settings={"stepz": 3})
    with pytest.raises(ConfigError, match="cannot replace"):
        step(tmp_path, "eraser")
    with pytest.raises(ConfigError, match=r"place\.device"):
        step(tmp_path, settings={"device": "cpu"})
    with pytest.raises(ValueError, match="in vain"):
        step(tmp_path, removal={"attempts": 2})


def test_place_is_no_part_of_the_fingerprint_and_painters_are(tmp_path):
    plain = step(tmp_path).fingerprint("")
    assert step(tmp_path, place={"device": "cpu", "batch_size": 9, "device_share": 0.1}).fingerprint("") == plain
    assert step(tmp_path, "shifted").fingerprint("") != plain


# --- a network -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_in_the_public_layout_goes_through_the_step(tmp_path):
    import torch
    from tiny_painters import inpainting

    torch.set_num_threads(1)
    inpainting(9).save_pretrained(tmp_path / "weights")
    settings = {"model": str(tmp_path / "weights"), "steps": 2, "dtype": "float32"}
    works = [photograph(tmp_path, "a", CUP_THING), photograph(tmp_path, "b", POT_THING, seed=1)]
    made = step(tmp_path, "sd_inpaint", settings=settings, place={"device": "cpu"})
    made.setup()
    results = made.process(works)
    made.release()
    for result in results:
        assert isinstance(result, Painting) and len(result.edits) == 2 and result.rejects == []
        seen = pictures(result)
        for edit in result.edits:
            source, edited, support = seen[edit.source_sha256], seen[edit.edited_sha256], support_of(edit)
            assert outside_difference(source, edited, support) == (True, None) and (source != edited)[support].any()
            assert edit.engine.startswith("sd_inpaint:") and "@" in edit.engine
        assert len({one.edited_sha256 for one in result.edits}) == 2
    again = step(tmp_path, "sd_inpaint", settings=settings, place={"device": "cpu"})
    assert again.process(works) == results
