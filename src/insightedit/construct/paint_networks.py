"""Step 3 by networks: removals and replacements, painted on a crop around the object and laid onto the photograph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np

from insightedit.backends.paint.edit import Attempt, Choice, Job, attempts
from insightedit.backends.paint.halo import with_halo
from insightedit.backends.paint.painter import Painter, PaintTask
from insightedit.backends.paint.patchmatch import strangers
from insightedit.backends.paint.recolour import Painted
from insightedit.backends.paint.table import make
from insightedit.construct.compose import composed
from insightedit.construct.menu import Refusal, RemovalKnobs, fit_to_remove, mask_of
from insightedit.construct.paint import PaintKnobs, Result, edit_id, neighbours, recorded, stored
from insightedit.construct.paint_knobs import PainterKnobs, ReplacementKnobs
from insightedit.construct.photo_step import PhotoStep
from insightedit.construct.source.scan import SourceKnobs
from insightedit.construct.work import Description, Painting, Work
from insightedit.core.errors import ConfigError, Unfit
from insightedit.core.mask import Mask, grow, growth_px
from insightedit.core.record import Edit, Object, Picture, Reject, Replacement
from insightedit.core.seed import derive
from insightedit.metrics.clip import Clip, cosine
from insightedit.metrics.fill import fill_features, fill_score

METHODS: dict[PaintTask, str] = {"remove": "removal", "replace": "replacement"}
AHEAD = 4  # batches prepared at once: canvases of one shape find each other, and 2K pictures do not pile up


# --- what to paint ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """An edit to paint; without a target it is a removal."""

    edit_id: str
    thing: Object
    target: Replacement | None = None

    @property
    def task(self) -> PaintTask:
        return "replace" if self.target else "remove"

    @property
    def prompt(self) -> str:
        """What shall be there: the target's name, once, and its detail; "" for a removal."""
        if self.target is None:
            return ""
        name, detail = self.target.name, self.target.detail
        return detail if name.lower() in detail.lower() else ", ".join(part for part in (name, detail) if part)


Scores = Callable[[np.ndarray, Sequence[Painted], Plan], Sequence[float | None]]  # of a photograph's attempts


def plans(work: Work, knobs: PaintKnobs) -> Iterator[Plan | Refusal]:
    """All edits worth painting, kinds and objects taking turns as in `menu.wishes`; and those that a rule forbids."""
    masked = {thing.object_id for thing in work.objects}
    described = work.value("describe", Description).objects
    unseen = [thing for thing in described if thing.box and thing.object_id not in masked]
    rows = [_of_object(work, thing, unseen, knobs) for thing in work.objects]
    for turn in zip_longest(*rows):
        yield from (plan for plan in turn if plan is not None)


def _of_object(work: Work, thing: Object, unseen: list[Object], knobs: PaintKnobs) -> Iterator[Plan | Refusal]:
    networks, photo = knobs.networks, work.photo.photo_id
    if knobs.removal.enabled:
        try:
            fit_to_remove(thing, work.objects, unseen, knobs.removal)
            yield Plan(edit_id(photo, thing.object_id, METHODS["remove"], networks.removal.painter), thing)
        except Unfit as error:
            yield Refusal(thing, METHODS["remove"], error)
    if networks.replacement.per_object:
        try:
            fit_to_replace(thing, work.objects, unseen, knobs.removal, networks.replacement)
            kind = (photo, thing.object_id, METHODS["replace"], networks.replacement.painter)
            for target in thing.targets[: networks.replacement.per_object]:
                yield Plan(edit_id(*kind, target.name, target.detail), thing, target)
        except Unfit as error:
            yield Refusal(thing, METHODS["replace"], error)


def fit_to_replace(
    thing: Object, others: list[Object], unseen: list[Object], removal: RemovalKnobs, knobs: ReplacementKnobs
) -> None:
    """Nothing, or the rule that forbids another thing in its place.

    What is replaced is removed first, so masks, borders and things in or on it are asked for as `fit_to_remove` does.

    Raises:
        Unfit: not_replaceable, no_target, too_small_to_replace, too_large_to_replace, or as `fit_to_remove`.
    """
    if not thing.replaceable:
        raise Unfit("not_replaceable", f"{thing.name}: {thing.unfit_because}", "a thing that another could stand for")
    if not thing.targets:
        raise Unfit("no_target", f"{thing.name}: nothing was proposed", "a thing for its place")
    share = mask_of(thing).share
    if share < knobs.min_share:
        raise Unfit("too_small_to_replace", f"{thing.name}: {share:.4f}", f"at least {knobs.min_share:g} of the frame")
    if share > knobs.max_share:
        raise Unfit("too_large_to_replace", f"{thing.name}: {share:.2f}", f"at most {knobs.max_share:g} of the frame")
    any_size = removal.model_copy(update={"max_share": 1.0})
    fit_to_remove(thing.but(removable=True), others, unseen, any_size)


# --- where to paint --------------------------------------------------------------------------------------------------


def region(image: np.ndarray, thing: Object, others: np.ndarray, task: PaintTask, knobs: RemovalKnobs) -> np.ndarray:
    """What shall be painted anew, bool (H, W): the object, and on even ground its soft shadow or glow if it is removed.

    Args:
        image: uint8 RGB (H, W, 3).
        thing: has a mask.
        others: bool (H, W), of `neighbours`.
        task: of the edit.
        knobs: growth and halo, as the classical removal has them.
    """
    mask = mask_of(thing)
    if task != "remove" or not knobs.halo:
        return mask.full()
    grown = grow(mask, growth_px(mask, knobs.grow_share, knobs.grow_least_px, knobs.grow_most_px)).full()
    wide = with_halo(image, grown, others & ~mask.full())
    return wide if (wide & ~grown).any() else mask.full()  # the window grows a mask by itself


def kept_off(painted: Painted, image: np.ndarray, keep: np.ndarray) -> Painted:
    """The paint taken off what must stay whole; `image` uint8 (H, W, 3) as it was, `keep` bool (H, W).

    After painting, with a hard edge: a neighbour has one, and a feathered one would show the old object beside it.
    """
    spoilt = painted.support & keep
    edited = painted.image.copy()
    edited[spoilt] = image[spoilt]
    return Painted(edited, painted.support & ~keep)


# --- which attempt ---------------------------------------------------------------------------------------------------


def first(image: np.ndarray, made: Sequence[Painted], plan: Plan) -> list[float | None]:
    """All alike: of equals the first is kept."""
    return [0.0 for _ in made]


def by_fill(image: np.ndarray, made: Sequence[Painted], plan: Plan) -> list[float | None]:
    """How well the hole was filled, 0..1."""
    return [fill_score(fill_features(image, painted.image, painted.support)) for painted in made]


def by_clip(clip: Clip, image: np.ndarray, made: Sequence[Painted], plan: Plan) -> list[float | None]:
    """Cosine, -1..1, of the edited crop with the new thing's name; of a removal, minus that with the old one's."""
    boxes = [Mask.of(painted.support).box for painted in made]
    crops = [painted.image[y0:y1, x0:x1] for painted, (x0, y0, x1, y1) in zip(made, boxes, strict=True)]
    seen = [place for place, crop in enumerate(crops) if crop.size]
    scores: list[float | None] = [None] * len(made)
    if not seen:
        return scores
    name, sign = (plan.target.name, 1) if plan.target else (plan.thing.name, -1)
    near = cosine(clip.images([crops[place] for place in seen]), clip.texts([f"a photo of {name}"])[0])  # (N,)
    for place, value in zip(seen, near, strict=True):
        scores[place] = sign * float(value) if np.isfinite(value) else None
    return scores


# --- the step --------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """A photograph under work."""

    work: Work
    image: np.ndarray  # uint8 RGB (H, W, 3)
    source: Picture
    waiting: Iterator[Plan | Refusal]
    edits: list[Edit] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


class PaintByNetworks(PhotoStep[Painting]):
    """Objects with masks, and targets for their places -> edits with pictures.

    Raises:
        UnknownName, ConfigError: no such painter, or settings or tasks that it does not have; said before a run begins.
    """

    name, version, value = "paint", "1", Painting
    batch_size = 4
    device_share = 0.5
    knobs: PaintKnobs

    def __init__(self, knobs: PaintKnobs, seed: int, root: Path, source: SourceKnobs) -> None:
        super().__init__(knobs, seed, root, source)
        self.painters = painters_of(knobs, self.portion())
        self.clip = Clip(knobs.networks.clip.model_copy(update={"device": self.place.device}))
        table: dict[str, Scores] = {"first": first, "fill": by_fill, "clip": partial(by_clip, self.clip)}
        self.scores = {task: table[self._choice(task).best_by] for task in self.painters}

    def _choice(self, task: PaintTask) -> PainterKnobs:
        return self.knobs.networks.removal if task == "remove" else self.knobs.networks.replacement

    def share(self) -> float:
        """As given; else half a GPU for each of the painters that are not one."""
        given = self.place.device_share
        return min(1.0, self.device_share * len(set(self.painters.values()))) if given is None else given

    def setup(self) -> None:
        for painter in dict.fromkeys(self.painters.values()):
            painter.setup()
        if "clip" in {self._choice(task).best_by for task in self.painters}:
            self.clip.setup()

    def release(self) -> None:
        for painter in dict.fromkeys(self.painters.values()):
            painter.release()
        self.clip.release()

    @cached_property
    def engines(self) -> dict[PaintTask, str]:
        """Who paints, with which weights: for provenance."""
        return {task: f"{painter.name}:{painter.engine()}" for task, painter in self.painters.items()}

    def process(self, batch: Sequence[Work]) -> list[Painting | Reject]:
        """Rounds over all photographs of the batch: a failed edit makes room for the next plan of its photograph."""
        results = [self._bench(work) for work in batch]
        benches = [bench for bench in results if isinstance(bench, Bench)]
        while todo := [(bench, plan) for bench in benches for plan in self._next(bench)]:
            for task in self.painters:
                self._paint(task, [(bench, plan) for bench, plan in todo if plan.task == task])
        return [self._painting(bench) if isinstance(bench, Bench) else bench for bench in results]

    def _bench(self, work: Work) -> Bench | Reject:
        try:
            image = self.open(work)
        except Unfit as error:
            return self.reject(work, error.reason, error.seen, error.wanted)
        return Bench(work, image, stored(image, self.knobs.jpeg_quality), plans(work, self.knobs))

    def _next(self, bench: Bench) -> list[Plan]:
        """As many plans as there is room for; refusals met on the way are noted."""
        chosen: list[Plan] = []
        while len(bench.edits) + len(chosen) < self.knobs.max_edits:
            plan = next(bench.waiting, None)
            if plan is None:
                break
            if isinstance(plan, Plan):
                chosen.append(plan)
            else:
                bench.rejects.append(self._refused(bench, plan.thing, plan.why))
        return chosen

    def _paint(self, task: PaintTask, todo: Sequence[tuple[Bench, Plan]]) -> None:
        """Paint, choose and store; an edit that fails is a reject of its photograph."""
        count, rest = self._choice(task).attempts, iter(todo)
        at_once = max(1, AHEAD * self.painters[task].settings.batch_size // count)
        while some := list(islice(rest, at_once)):
            masks = [self._masks(bench, plan) for bench, plan in some]
            jobs = [
                Job(bench.image, mask, plan.prompt, task, self._seed(plan, attempt))
                for (bench, plan), (mask, _) in zip(some, masks, strict=True)
                for attempt in range(count)
            ]
            made = iter(attempts(jobs, self.painters[task], self.knobs.networks.edit))
            for (bench, plan), (_, keep) in zip(some, masks, strict=True):
                try:
                    self._keep(bench, plan, self._chosen(bench.image, plan, list(islice(made, count)), keep))
                except Unfit as error:
                    bench.rejects.append(self._refused(bench, plan.thing, error).but(edit_id=plan.edit_id))

    def _seed(self, plan: Plan, attempt: int) -> int:
        return derive(self.seed, plan.edit_id, attempt)

    def _masks(self, bench: Bench, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """What to repaint and what must stay whole, bool (H, W) each."""
        own, others = mask_of(plan.thing).full(), neighbours(bench.work, plan.thing)
        keep = strangers(others & ~own, own)  # a neighbour stays whole; the ground it lies on may not
        return region(bench.image, plan.thing, others, plan.task, self.knobs.removal), keep

    def _chosen(self, image: np.ndarray, plan: Plan, made: Sequence[Attempt], keep: np.ndarray) -> Choice:
        """The best of an edit's attempts.

        Raises:
            Unfit: empty_mask, painter_failed: every attempt failed; no_scored_attempt: none could be judged.
        """
        good = {place: kept_off(one, image, keep) for place, one in enumerate(made) if isinstance(one, Painted)}
        failures = [one for one in made if not isinstance(one, Painted)]
        if not good:
            error = failures[0]
            raise error if isinstance(error, Unfit) else Unfit("painter_failed", str(error)[:300], "a painted picture")
        scores = self.scores[plan.task](image, list(good.values()), plan)
        choices = [
            Choice(painted, self._seed(plan, place), place, score)
            for (place, painted), score in zip(good.items(), scores, strict=True)
            if score is not None
        ]
        if not choices:
            raise Unfit("no_scored_attempt", f"{len(good)} painted, none judged", "a score for at least one")
        return max(choices, key=lambda choice: choice.score)

    def _keep(self, bench: Bench, plan: Plan, choice: Choice) -> None:
        """Encode it and write its record.

        Raises:
            Unfit: nothing_changed.
        """
        picture = stored(choice.painted.image, self.knobs.jpeg_quality)
        target, judged = plan.target, self._choice(plan.task).best_by != "first"
        words = {"category": target.name, "name": target.name, "detail": target.detail} if target else {}
        after = Object(object_id=plan.edit_id, box=plan.thing.box, **words) if words else None
        result = Result(choice.painted, after=after)
        edit = recorded(plan.edit_id, bench.work, plan.thing, METHODS[plan.task], result, (bench.source, picture))
        hints = {"attempt": float(choice.attempt), "score": choice.score} if judged else {}
        engine = self.engines[plan.task]
        bench.edits.append(edit.but(seed=choice.seed, engine=engine, hints=hints))
        bench.pictures.append(picture)

    def _refused(self, bench: Bench, thing: Object, error: Unfit) -> Reject:
        return self.reject(bench.work, error.reason, error.seen, error.wanted).but(object_id=thing.object_id)

    def _painting(self, bench: Bench) -> Painting:
        edits = bench.edits + (composed(bench.edits) if self.knobs.compose else [])
        pictures = [bench.source, *bench.pictures]
        return Painting(photo_id=bench.work.photo.photo_id, edits=edits, rejects=bench.rejects, pictures=pictures)


def painters_of(knobs: PaintKnobs, at_once: int) -> dict[PaintTask, Painter]:
    """A painter for each kind of edit that is asked for, not yet loaded; one for both where they are chosen equal.

    Args:
        knobs: who paints what, with which settings, where.
        at_once: canvases that go through a network at once, where the settings do not say `batch_size`.

    Raises:
        UnknownName: no painter of that name.
        ConfigError: a setting that it does not have, a device among the settings, or a task that it has not learnt.
    """
    wanted: dict[PaintTask, PainterKnobs] = {}
    if knobs.removal.enabled:
        wanted["remove"] = knobs.networks.removal
    if knobs.networks.replacement.per_object:
        wanted["replace"] = knobs.networks.replacement
    painters: dict[PaintTask, Painter] = {}
    for task, choice in wanted.items():
        if "device" in choice.settings:
            what = f"painter '{choice.painter}' has a device among its settings"
            raise ConfigError(what, "results do not depend on it, so it is no setting", "Set paint.place.device")
        shared = [painters[other] for other in painters if _alike(wanted[other], choice)]
        values = {"batch_size": at_once, **choice.settings, "device": knobs.place.device}
        painter = shared[0] if shared else make(choice.painter, **values)
        if task not in painter.tasks:
            mend = f"It can {', '.join(sorted(painter.tasks))}: choose another for {METHODS[task]}"
            raise ConfigError(f"painter '{painter.name}' cannot {task}", "its network has not learnt it", mend)
        painters[task] = painter
    return painters


def _alike(one: PainterKnobs, other: PainterKnobs) -> bool:
    return (one.painter, one.settings) == (other.painter, other.settings)
