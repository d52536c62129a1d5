"""Sampled pairs as the records that `publish` takes: each pair is one photograph's worth of work with one edit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from insightedit.construct.card import Origin
from insightedit.construct.funnel import Counted, Spending
from insightedit.construct.imagine.captions import CaptionKnobs, Listing
from insightedit.construct.imagine.sample import Idea, Sampling
from insightedit.construct.row import FunnelLine
from insightedit.construct.work import Asked, Description, Painting, Segmentation, Verdict, Worded, Wording, Work
from insightedit.core.record import Instruction, Reject
from insightedit.flow.local import Line, Shard

ORIGIN = Origin(
    things="imagined pictures",
    made="By `insightedit imagine` {version}, preset `{preset}`, seed {seed}, configuration `{recipe}`, the recipe of "
    "InstructPix2Pix (Brooks et al. 2023): a caption, an instruction and the caption after it; both pictures of a pair "
    "sampled from one noise with shared self-attention (Prompt-to-Prompt, Hertz et al. 2022); of the samples of a "
    "triple those that CLIP finds like their captions, like each other, and changed as the words changed. Below a "
    "threshold the second picture is made equal to the first; the mask is what is left. `caption_source` and "
    "`desc_before` hold the caption of the first picture, `desc_after` that of the second; no object is named.",
    licences="Nobody photographed these pictures: a text-to-image model sampled both sides. `license` says under which "
    "terms they are passed on, as whoever made them stated it; read the terms of the model, named in `engine`.",
    limits="Both sides of a pair show what one model believes of the words: expect its faults in hands, faces, letters "
    "and counting, and its biases. Instructions lead forward only. CLIP judges by likeness, so an edit may be too "
    "weak, too strong, or change more than was said. Neither texts nor pictures were checked for what should not be "
    "shown.",
)


@dataclass
class Proposals:
    """What came of all captions."""

    ideas: list[Idea] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)


def works_of(idea: Idea, knobs: CaptionKnobs, dataset: str) -> Iterator[Work]:
    """The pairs of a triple, pictures included.

    Args:
        idea: sampled.
        knobs: what is said of the pictures.
        dataset: where the captions come from.
    """
    found, triple = sampling_of(idea), idea.triple
    sides = {picture.sha256: picture for picture in found.pictures}
    about = {"author": knobs.author, "licence": knobs.licence, "licence_url": knobs.licence_url}
    for pair in found.pairs:
        photo, edit = pair.photo.but(source_dataset=dataset, **about), pair.edit
        said = Instruction(
            text=triple.instruction,
            direction="forward",
            kind="simple",
            form="triple",
            n_words=len(triple.instruction.split()),
        )
        pictures = [sides[edit.source_sha256], sides[edit.edited_sha256]]
        values: dict[str, Any] = {
            "describe": Description(photo_id=photo.photo_id, caption=triple.caption, objects=[]),
            "segment": Segmentation(photo_id=photo.photo_id, objects=[]),
            "paint": Painting(photo_id=photo.photo_id, edits=[edit], pictures=pictures),
            "instruct": Wording(photo_id=photo.photo_id, edits=[Worded(edit_id=edit.edit_id, instructions=[said])]),
            "judge": Verdict(photo_id=photo.photo_id, edits=[pair.judgement]),
        }
        proposed = {name: value for name, value in idea.values.items() if name == "propose"}
        yield Work(photo, {**proposed, **values})


def sampling_of(idea: Idea) -> Sampling:
    """What `sample` found of a triple."""
    found = idea.values["sample"]
    assert isinstance(found, Sampling)
    return found


def count(listing: Listing, proposals: Proposals, ideas: int, line: Line, shards: Iterable[Shard]) -> Counted:
    """Read what every step found, without pictures and one shard at a time, and count.

    Args:
        listing: the list as read.
        proposals: what came of its captions.
        ideas: triples that were to be sampled.
        line: of `sample`, finished.
        shards: of that line.
    """
    (step,) = line.steps
    rejects, tried, kept, with_pairs, cpu_s = [*listing.rejects, *proposals.rejects], Counter[str](), 0, 0, 0.0
    for shard in shards:
        values, done = line.values(shard.number, step)
        cpu_s += done.cpu_s
        rejects += done.rejects
        for value in values:
            assert isinstance(value, Sampling)
            rejects += value.rejects
            tried.update(sample.left_out for sample in value.samples)
            kept, with_pairs = kept + len(value.pairs), with_pairs + bool(value.pairs)
    samples, _ = sum(tried.values()), tried.pop("", 0)
    asked = len(listing.captions)
    lines = [
        _line("source", "captions", listing.lines, asked + len(listing.triples), rejects),
        *([_line("propose", "captions", asked, len(proposals.ideas), rejects)] if asked else []),
        _line("sample", "triples", ideas, with_pairs, rejects),
        _line("sift", "samples", samples, kept, rejects, tried),
    ]
    return Counted(lines, rejects, {step.name: cpu_s}, [Spending(step="propose").plus(proposals.asked)])


def _line(
    step: str, what: str, came_in: int, kept: int, rejects: Sequence[Reject], more: Mapping[str, int] = {}
) -> FunnelLine:
    """A line whose reasons are those of its rejects, and of what was counted without a reject each."""
    reasons = Counter(reject.reason for reject in rejects if reject.step == step)
    reasons.update(more)
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return FunnelLine(step=step, what=what, came_in=came_in, kept=kept, rejected=came_in - kept, reasons=ordered)
