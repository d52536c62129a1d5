"""Asking a chat model about outcomes: every reply is kept as it came, is paid for once, and is read later by filters.

    OUT/BENCHMARK/replies.jsonl     a line per question: the reply's text, or the reason why there is none

A reply is known by what decides it: model and settings, prompt, words, and both pictures. So neither another metric nor
another filter, another part of the benchmark or another name of an editor asks again. Only where the service failed is
a question put again, by the next run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from insightedit.backends.chat import prompt as prompts
from insightedit.backends.chat.cost import Budget, Tally
from insightedit.backends.chat.failures import Malformed, ReplyFailure, ServiceFailure
from insightedit.backends.chat.images import ImagePart, encode_part
from insightedit.backends.chat.replies import ON_FIVE, REPLIES
from insightedit.backends.chat.settings import MODEL_ENV, ChatKnobs, need_chat, resolve
from insightedit.core.config import Knobs
from insightedit.core.errors import ConfigError, Unfit
from insightedit.core.fingerprint import digest
from insightedit.core.record import Float, Record, Reject, Small
from insightedit.evaluate.kept import Kept
from insightedit.evaluate.scored import Load
from insightedit.flow.local import Line, Progress, Shard, run
from insightedit.flow.manifest import Manifest
from insightedit.flow.pool import Pool
from insightedit.flow.step import AsyncStep, Context, Place
from insightedit.metrics.outcome import Gap, Status
from insightedit.metrics.profile import JudgeRule, Profile
from insightedit.metrics.viescore import ONE_VIEWED, PAIR_VIEWED, Score, ViewKnobs
from insightedit.metrics.view import judged_pair

if TYPE_CHECKING:  # its packages are an extra of the installation
    from insightedit.backends.chat.client import Chat

REPLIES_FILE, WORK = "replies.jsonl", "judging"
SHARD = 64  # questions
SHOWS_BOTH = frozenset({"sc"})  # questions about the pair; the others are about the outcome alone


class JudgeKnobs(Knobs):
    """Who judges, what is sent, and what it may cost. Limits and prices are of `chat`."""

    chat: ChatKnobs = ChatKnobs()
    view: ViewKnobs = ViewKnobs()
    max_tokens: int = Field(512, ge=1)
    budget_usd: float | None = Field(None, ge=0)  # of one run
    place: Place = Place()

    @property
    def model(self) -> str:
        """As it is asked for, also where the environment names it."""
        return self.chat.model or os.environ.get(MODEL_ENV, "")

    def decisive(self) -> dict[str, Any]:
        """What decides a reply besides the question: no address, no limit, no price."""
        return {
            "model": self.model,
            "temperature": self.chat.temperature,
            "extra": self.chat.extra,
            "view": self.view.model_dump(mode="json"),
            "max_tokens": self.max_tokens,
        }


class Reply(Record):
    """What came back. `reason`: why it is no answer, as `backends.chat.failures` words it; "" if it is one."""

    key: str
    question: str
    text: str
    reason: str = ""
    model: str = ""
    version: str = ""  # of the prompt
    date: str = ""  # ISO day, UTC
    tokens_in: Small | None = None
    tokens_out: Small | None = None
    usd: Float | None = None

    def read_as(self, rule: JudgeRule) -> str | Score:
        """For `metrics.sample.Sample.replies`: words for a filter to read, or the reason why there are none."""
        if self.reason in ("", Malformed.reason):
            return self.text
        return Score(top=rule.top, reason=self.reason, said=self.text)


@dataclass(frozen=True)
class Question:
    """One question about one outcome, on its way. `key` names its reply."""

    key: str
    kind: str
    profile: Profile
    load: Load
    values: dict[str, Record] = field(default_factory=dict)

    def with_value(self, step: str, found: Record) -> Question:
        """A copy that knows its reply."""
        return replace(self, values={**self.values, step: found})


def questions(profile: Profile, loaded: Load, outcome_sha256: str, knobs: JudgeKnobs) -> list[Question]:
    """What a profile asks about an outcome: nothing if there is none, or no source. Opens the source for its hash."""
    assert profile.judge is not None
    rule, found = profile.judge, list[Question]()
    try:
        asked = loaded.sample.asked() if outcome_sha256 else ""
    except Unfit:
        asked = ""  # why, is the sample's status
    if not asked:
        return found
    for kind in rule.questions:
        prompt = (kind, prompts.load(kind).version, rule.top, rule.pair)
        key = digest("reply", knobs.decisive(), prompt, asked, outcome_sha256)
        found.append(Question(key, kind, profile, loaded))
    return found


def ready(profiles: Iterable[Profile], knobs: JudgeKnobs) -> None:
    """See that the judge can be asked, before anything is made or paid for.

    Raises:
        ConfigError: packages, model, key or address are missing; or a profile's prompts do not come along.
    """
    for profile in profiles:
        unknown = [kind for kind in (profile.judge.questions if profile.judge else ()) if kind not in ON_FIVE]
        if unknown:
            why = f"the publication's prompts for '{unknown[0]}' are its own and do not come along"
            raise ConfigError(f"cannot judge by '{profile.name}'", why, "Judge elsewhere and give --replies LABEL=FILE")
    need_chat()
    resolve(knobs.chat)


class AskJudge(AsyncStep[Question, Reply]):
    """Questions -> replies, each written down as it comes."""

    name, version, value = "judge", "1", Reply
    knobs: JudgeKnobs

    def __init__(self, knobs: JudgeKnobs, kept: Kept) -> None:
        super().__init__(knobs)
        self.kept, self.tally = kept, Tally()
        self._chat: Chat | None = None

    async def connect(self) -> None:
        """Open the connection.

        Raises:
            ConfigError: as `ready`.
        """
        need_chat()
        from insightedit.backends.chat.client import Chat

        self._chat = Chat(self.knobs.chat, budget=Budget(self.knobs.budget_usd))

    async def disconnect(self) -> None:
        if self._chat is not None:
            self.tally = self._chat.ledger.total
            await self._chat.close()

    async def one(self, item: Question, context: Context) -> Reply:
        """The reply to one question.

        Raises:
            Unfit: a picture is missing, or the service failed on this question for as long as it was allowed to.
            Stop: nobody answers any more, or the budget is spent.
        """
        assert self._chat is not None and item.profile.judge is not None
        images: list[ImagePart] = await context.apart(shown, item, self.knobs.view)
        rule, prompt = item.profile.judge, prompts.load(item.kind)
        kind = ON_FIVE[item.kind] if rule.top == 5 else REPLIES[item.kind]
        request = self._chat.request(prompt, kind, _slots(item, rule), images, self.knobs.max_tokens)
        said = Reply(key=item.key, question=item.kind, text="", version=prompt.version, date=_today())
        try:
            answer = await self._chat.ask(request, context.journal, self.name)
            usage = answer.usage
            took = {"tokens_in": usage and usage.prompt, "tokens_out": usage and usage.completion, "usd": answer.cost}
            said = said.but(text=answer.text, model=answer.model, **took)
        except ReplyFailure as failure:
            said = said.but(text=failure.reply or failure.why, reason=failure.reason, model=self.knobs.model)
        except ServiceFailure as failure:
            raise Unfit(failure.reason, failure.why, "an answer") from failure
        about = {"sample": item.load.sample.id, **said.model_dump(mode="json")}
        await asyncio.shield(asyncio.to_thread(self.kept.put, item.key, about))
        return said

    def reject(self, item: Question, reason: str, seen: str = "", wanted: str = "") -> Reject:
        return Reject(step=self.name, reason=reason, edit_id=item.key, seen=seen, wanted=wanted)


def shown(item: Question, knobs: ViewKnobs) -> list[ImagePart]:
    """The pictures of a question as its profile shows them, encoded. Runs in a worker: it decodes pictures.

    Raises:
        Unfit: one of them is missing.
    """
    try:
        source, edited = judged_pair(item.profile, item.load())
    except Gap as gap:
        raise Unfit(str(gap.status), gap.why, "both pictures") from gap
    pictures = (source, edited) if item.kind in SHOWS_BOTH else (edited,)
    return [encode_part(one, knobs.max_side, knobs.detail, knobs.lossless) for one in pictures]


def ask(
    asked: Sequence[Question],
    knobs: JudgeKnobs,
    folder: Path,
    kept: Kept,
    workers: int,
    timeout_s: float,
    progress: Progress,
) -> tuple[dict[str, Reply], Tally]:
    """Replies by key, those that are kept and those that are new, and what the new ones took.

    A question that the service did not answer has a reply with the reason, which is not kept.

    Args:
        asked: equal keys are one question.
        folder: of the benchmark, locked.
        kept: the replies that are there.
        workers: processes that encode pictures; 0: this one does.
        timeout_s: that encoding one may take.

    Raises:
        ConfigError: nobody can be asked.
        Stop: nobody answers any more, or the budget is spent; what was answered is kept.
        OutputError: a reply could not be kept.
    """
    missing = list({one.key: one for one in asked if one.key not in kept}.values())
    lost: dict[str, Reply] = {}
    step = AskJudge(knobs, kept)
    if missing:
        progress.begin(step.name, len(missing))
        shards = [Shard(number, missing[at : at + SHARD]) for number, at in enumerate(range(0, len(missing), SHARD))]
        work = Manifest(folder / WORK)
        work.root.mkdir(parents=True, exist_ok=True)
        line = Line([step], digest([one.key for one in missing]), work)
        with Pool(workers, timeout_s) as pool:
            asyncio.run(run(line, shards, pool, progress))
        for _, rejects in line.results(shards):
            lost |= {one.edit_id: _lost(one) for one in rejects}
    replies = {one.key: _kept(saved) for one in asked if (saved := kept.get(one.key)) is not None}
    return {**replies, **lost}, step.tally


def described(knobs: JudgeKnobs, replies: Iterable[Reply]) -> dict[str, Any]:
    """Who judged, for `results.JudgeUsed`: model, who answered, when, under which settings."""
    there = [reply for reply in replies if reply.date]
    days = sorted(reply.date for reply in there)
    settings = knobs.decisive()
    settings["prompts"] = {reply.question: reply.version for reply in there}
    return {
        "model": settings.pop("model"),
        "answered_by": sorted({reply.model for reply in there if not reply.reason}),
        "date": (days[0], days[-1]) if days else ("", ""),
        "settings": settings,
    }


def _slots(item: Question, rule: JudgeRule) -> dict[str, object]:
    if item.kind in SHOWS_BOTH:
        return {"view": PAIR_VIEWED["whole"], "top": rule.top, "instruction": item.load.sample.instruction}
    return {"view": ONE_VIEWED["whole"], "top": rule.top}


def _kept(line: Mapping[str, Any]) -> Reply:
    return Reply(**{name: line[name] for name in Reply.model_fields if name in line})


def _lost(reject: Reject) -> Reply:
    reason = reject.reason if reject.reason in set(Status) else str(Status.FAILED)
    return Reply(key=reject.edit_id, question="", text=f"{reject.reason}: {reject.seen}", reason=reason)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
