"""The step `instruct` by a multimodal language model that sees both pictures of an edit; every sentence is verified.

    written ─▶ rules, geometry ─▶ proved by geometry, or pointed back by who sees the things numbered ─▶ kept
    failed  ─▶ mended as often as `rewrites` says, verified again ─▶ dropped, with the reason

A sentence that picks another thing, several or none is no instruction. A direction without a simple one is dropped as
a whole; an edit without a direction has no words, and is judged out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from insightedit.backends.chat.replies import Instructed, PointedBack, Rewritten, Sentence
from insightedit.construct.ask import AskStep, together, told
from insightedit.construct.claims import Fault, Seen, fault_of, proof
from insightedit.construct.instruct import DIRECTIONS, InstructKnobs, Kind, scene_of
from insightedit.construct.pointing import Pictures, Way, frames_of, pictured, ways_of
from insightedit.construct.work import Asked, Description, Worded, Wording, Work
from insightedit.core.errors import Unfit
from insightedit.core.record import Edit, Instruction, Reject
from insightedit.core.seed import derive
from insightedit.flow.step import Context, Place


class Written(Wording):
    """Instructions with the questions that they took.

    An `Instruction` here has the form `written` or `rewritten`. Its `query` is the formula that geometry proved; where
    it is empty, somebody who was asked pointed back at `picks`.
    """

    asked: list[Asked] = []


@dataclass(frozen=True)
class Draft:
    """A sentence that is not verified yet, and the questions about it."""

    work: Work
    edit: Edit
    way: Way
    kind: Kind
    sentence: Sentence
    form: Literal["written", "rewritten"] = "written"
    asked: list[Asked] = field(default_factory=list)


class InstructByMllm(AskStep[Written]):
    """Edits with pictures -> verified words for both directions."""

    name, version, value = "instruct", "mllm-1", Written
    needs = frozenset({"paint"})
    knobs: InstructKnobs

    @property
    def place(self) -> Place:
        return self.knobs.mllm.place

    @property
    def prompts(self) -> Sequence[str]:
        mending = ("rewrite",) if self.knobs.mllm.rewrites else ()
        return ("instruct_remove", "instruct_replace", "point_back", "point_back_added", *mending)

    async def one(self, item: Work, context: Context) -> Written:
        """The instructions of one photograph's edits.

        Raises:
            Unfit: a picture of the photograph cannot be decoded.
            Stop: nobody answers any more, or the budget is spent.
        """
        seen = [self._seen(item, edit) for edit in item.edits]
        frames = [(frames_of(forward), frames_of(reverse)) for forward, reverse in seen]
        ready: list[Pictures] = await context.apart(pictured, item, frames, self.knobs.mllm)
        took: list[list[Asked]] = [[] for _ in seen]  # apart: their order must not depend on who answers first
        worded = await together(
            self._worded(item, edit, ways_of(edit, both, pictures), pictures, context, asked)
            for edit, both, pictures, asked in zip(item.edits, seen, ready, took, strict=True)
        )
        edits: list[Worded] = []
        rejects: list[Reject] = []
        for edit, found in zip(item.edits, worded, strict=True):
            if isinstance(found, Unfit):
                found = [], [self._of(item, edit, found.reason, found.seen, found.wanted)]
            edits.append(Worded(edit_id=edit.edit_id, instructions=found[0]))
            rejects += found[1]
        asked = [question for questions in took for question in questions]
        return Written(photo_id=item.photo.photo_id, edits=edits, rejects=rejects, asked=asked)

    def _seen(self, work: Work, edit: Edit) -> tuple[Seen, Seen]:
        """Both directions of an edit, with one numbering for all edits of the photograph: its order tells nothing."""
        order = sorted(thing.object_id for thing in work.objects)
        described = work.value("describe", Description).objects
        unplaced = tuple(thing for thing in described if thing.object_id not in set(order))
        Random(derive(self.seed, work.photo.photo_id, "numbers")).shuffle(order)
        forward, reverse = (
            Seen(
                scene=scene_of(edit, work.objects, way),
                order=tuple(order),
                adding=way == "reverse" and edit.task == "remove_add",
                complete=self.knobs.counting,
                unplaced=unplaced,
            )
            for way in DIRECTIONS
        )
        return forward, reverse

    async def _worded(
        self,
        work: Work,
        edit: Edit,
        ways: tuple[Way, Way],
        pictures: Pictures,
        context: Context,
        asked: list[Asked],
    ) -> tuple[list[Instruction], list[Reject]]:
        """The instructions of one edit, and why there are no others; what was asked goes to `asked`.

        Raises:
            Unfit: there is no usable reply with sentences.
        """
        (forward, reverse), knobs = ways, self.knobs
        prompt = "instruct_remove" if edit.task == "remove_add" else "instruct_replace"
        slots: dict[str, object] = {
            "name": forward.name,
            "detail": forward.detail,
            "place": forward.place,
            "others": forward.others(reverse.seen.scene.hidden),
            "simple": knobs.simple_per_direction,
            "advanced": knobs.advanced_per_direction,
            "longest": knobs.max_words,
        }
        if edit.task == "replace":
            slots |= {"target": reverse.name, "target_detail": reverse.detail}
        both, most = [pictures.source, pictures.edited], knobs.mllm.max_tokens
        answer = await self.ask(context, prompt, Instructed, slots, both, chat=knobs.mllm.chat, max_tokens=most)
        drafts: list[Draft] = []
        for way, wordings in zip(ways, (answer.value.forward, answer.value.reverse), strict=True):
            simple = first(wordings.simple, knobs.simple_per_direction)
            advanced = first(wordings.advanced, knobs.advanced_per_direction)
            drafts += [Draft(work, edit, way, "simple", sentence) for sentence in simple]
            drafts += [Draft(work, edit, way, "advanced", sentence) for sentence in advanced]
        lines = await together(self._line(draft, context) for draft in drafts)
        asked += [told(prompt, answer), *(question for draft in drafts for question in draft.asked)]
        return self._settled(work, edit, drafts, lines)

    async def _line(self, draft: Draft, context: Context) -> Instruction | Reject:
        """One sentence: verified, else mended and verified again, else dropped.

        Raises:
            Unfit: a question about it has no usable reply.
        """
        found = await self._verified(draft, context)
        for _ in range(self.knobs.mllm.rewrites):
            if isinstance(found, Instruction):
                break
            draft = await self._mended(draft, found, context)
            found = await self._verified(draft, context)
        return found if isinstance(found, Instruction) else self._dropped(draft, *found)

    async def _verified(self, draft: Draft, context: Context) -> Instruction | Fault:
        """The instruction, once it is certain that it picks the right thing and no other; or what is wrong with it."""
        way, knobs = draft.way, self.knobs
        seen, sentence = way.seen, draft.sentence.model_copy(update={"text": tidy(draft.sentence.text)})
        if fault := fault_of(sentence, draft.kind == "advanced", seen, knobs.max_words):
            return fault
        query = proof(sentence, seen) if knobs.mllm.prove else None
        if query is None:
            prompt = "point_back_added" if seen.adding else "point_back"
            slots = {"objects": way.objects, "instruction": sentence.text}
            checker = knobs.mllm.checker or knobs.mllm.chat
            answer = await self.ask(context, prompt, PointedBack, slots, way.pointed, chat=checker)
            draft.asked.append(told(prompt, answer))
            if fault := misled(answer.value.numbers, seen):
                return fault
        return Instruction(
            text=sentence.text,
            direction=way.direction,
            kind=draft.kind,
            form=draft.form,
            query="" if query is None else str(query),
            picks=[seen.target.object_id],
            n_words=len(sentence.text.split()),
        )

    async def _mended(self, draft: Draft, fault: Fault, context: Context) -> Draft:
        """A better sentence, by who wrote it, told what was wrong."""
        way = draft.way
        slots = {
            "edit": way.deed,
            "name": way.name,
            "detail": way.detail,
            "place": way.place,
            "others": way.others(),
            "kind": draft.kind,
            "instruction": tidy(draft.sentence.text),
            "why": fault.why,
            "longest": self.knobs.max_words,
        }
        answer = await self.ask(context, "rewrite", Rewritten, slots, [way.start], chat=self.knobs.mllm.chat)
        draft.asked.append(told("rewrite", answer))
        return replace(draft, sentence=answer.value.instruction, form="rewritten")

    def _settled(
        self, work: Work, edit: Edit, drafts: Sequence[Draft], lines: Sequence[Instruction | Reject | Unfit]
    ) -> tuple[list[Instruction], list[Reject]]:
        """What stays: no sentence twice, and no direction without a simple one."""
        rejects: list[Reject] = []
        made: dict[tuple[str, str], Instruction] = {}
        for draft, line in zip(drafts, lines, strict=True):
            if isinstance(line, Unfit):
                rejects.append(self._dropped(draft, line.reason, f"{line.wanted}; it was: {line.seen}"))
            elif isinstance(line, Reject):
                rejects.append(line)
            else:  # two may have been mended into one: the first stays, and simple ones come first
                made.setdefault((line.direction, line.text.lower()), line)
        kept: list[Instruction] = []
        for way in DIRECTIONS:
            told_of = [line for line in made.values() if line.direction == way]
            if any(line.kind == "simple" for line in told_of):
                kept += told_of
                continue
            written = sum(draft.way.direction == way for draft in drafts)
            seen = f"{way}: of {written} sentences {len(told_of)} verified, all of them advanced"
            wanted = "a simple instruction that picks the edited object"
            rejects.append(self._of(work, edit, "no_simple_instruction", seen, wanted))
        return kept, rejects

    def _dropped(self, draft: Draft, reason: str, why: str) -> Reject:
        said = f"{draft.way.direction}, {draft.kind}: {tidy(draft.sentence.text)}"
        return self._of(draft.work, draft.edit, f"sentence_{reason}", said, why)

    def _of(self, work: Work, edit: Edit, reason: str, seen: str, wanted: str) -> Reject:
        return self.reject(work, reason, seen, wanted).but(object_id=edit.object_id, edit_id=edit.edit_id)


def first(sentences: Sequence[Sentence], limit: int) -> list[Sentence]:
    """The first few that differ."""
    unique: dict[str, Sentence] = {}
    for one in sentences:
        unique.setdefault(tidy(one.text).lower(), one)
    return list(unique.values())[:limit]


def tidy(text: str) -> str:
    """Without quotes around it, with a capital letter, and with one full stop or question mark."""
    text = text.strip().strip('"“”').strip()
    text = text[:1].upper() + text[1:].rstrip("!").rstrip()
    return text if text.endswith((".", "?")) else f"{text}."


def misled(numbers: Sequence[int], seen: Seen) -> Fault | None:
    """What is wrong with a sentence that made somebody point at these things; None where it is the right one alone."""
    pointed = sorted(set(numbers))
    if pointed == [seen.number]:
        return None
    meant = seen.named([seen.number])
    if not pointed:
        return Fault("means_nothing", f"whoever read it found nothing that it could mean; {meant} is meant")
    reason = "ambiguous" if seen.number in pointed else "wrong_object"
    return Fault(reason, f"whoever read it took it to mean {seen.named(pointed)}; only {meant} is meant")
