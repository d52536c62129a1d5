"""Filters: what a judge's stored reply is worth. The same replies can be read by several, without asking again.

The strict ones are ours and never guess. The published ones behave as the named projects' own parsers do, faults
included, so that their numbers can be told from the judge's; no profile uses them unless a user asks for it.
"""

from __future__ import annotations

import importlib.util
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from insightedit.core.errors import UnknownName
from insightedit.core.lookup import suggest
from insightedit.metrics.outcome import Status
from insightedit.metrics.profile import JudgeRule
from insightedit.metrics.viescore import published_reply

DELIMITER = "||V^=^V||"
RATE_LIMIT = "rate_limit_exceeded"
CRITERIA = 3  # of ImgEdit-Bench


@dataclass(frozen=True)
class Verdict:
    """What a filter found: scores in the order asked for, or none and why.

    `guessed` marks numbers that the judge never gave; only the filter of that name makes them.
    """

    scores: tuple[float, ...] = ()
    status: Status = Status.OK
    why: str = ""
    guessed: bool = False


Filter = Callable[[str, JudgeRule], Verdict]


def malformed(text: str) -> Verdict:
    """No score; the first words of the reply say why."""
    return Verdict((), Status.MALFORMED, text[:200])


# --- ours ------------------------------------------------------------------------------------------------------------


def strict(text: str, rule: JudgeRule) -> Verdict:
    """VIEScore's {"score": [a, b], "reasoning": "..."}, or the two named scores of our own prompts.

    Both scores must be numbers on the scale. Strings, one score for two, scores off the scale and prose are malformed.
    """
    if importlib.util.find_spec("orjson") is None:
        return Verdict((), Status.UNAVAILABLE, "reading replies needs orjson: pip install 'insightedit[chat]'")
    from insightedit.backends.chat.replies import Consistency, Quality
    from insightedit.backends.chat.schema import NoFit, read_reply
    from insightedit.metrics.viescore import parts

    found = published_reply(text, rule.top)
    if found.parts:
        return Verdict(tuple(found.parts))
    kinds: tuple[type[Consistency | Quality], ...] = (Consistency, Quality)
    for kind in kinds:
        try:
            scores = tuple(parts(read_reply(text, kind)))
        except NoFit:
            continue
        return Verdict(scores) if all(rule.least <= score <= rule.top for score in scores) else malformed(text)
    return malformed(text)


_CRITERION = re.compile(r"^[\s>*#-]*(?P<name>[^\n:]{2,60}?)\**\s*:\s*\**\s*(?P<score>\d+)\s*(?:/\s*5)?\s*[.*]*\s*$")


def imgedit_strict(text: str, rule: JudgeRule) -> Verdict:
    """ImgEdit-Bench: exactly three lines "name: score", each score on the scale; `5/5`, `5.` and bold are read."""
    found = [match for line in text.splitlines() if (match := _CRITERION.match(line))]
    scores = tuple(float(match["score"]) for match in found)
    names = {match["name"].strip().lower() for match in found}
    if len(scores) == len(names) == CRITERIA and all(rule.least <= score <= rule.top for score in scores):
        return Verdict(scores)
    return malformed(text)


# --- as published ----------------------------------------------------------------------------------------------------


def viescore_parse(text: str, last_try: bool, draw: random.Random) -> tuple[Any, bool]:
    """What VIEScore's own parser makes of a reply, and whether it made the number up.

    Args:
        text: the reply.
        last_try: the second attempt, at which any reply without braces becomes a random number.
        draw: where that comes from.

    Returns:
        the parsed object; False where it would ask again; or "rate_limit_exceeded", passed through.
    """
    if text == RATE_LIMIT:
        return text, False
    if text.count(DELIMITER) == 2:
        content = text[text.index(DELIMITER) + len(DELIMITER) : text.rindex(DELIMITER)]
    elif "{" in text and "}" in text:
        content = text[text.index("{") : text.rindex("}") + 1]
    elif last_try:
        return {"score": [draw.randint(0, 10)], "reasoning": f"guess_if_cannot_parse | {text}"}, True
    elif re.fullmatch(r"\[\d+, ?\d+\]", text):
        return {"score": json.loads(text), "reasoning": "System: output is simply a list of scores"}, False
    elif re.fullmatch(r"-?\d+", text) and 0 <= int(text) <= 10:
        return {"score": [int(text)], "reasoning": "System: output is simply a number"}, False
    else:
        return False, False
    return _repaired(content.strip().replace("\n", "")), False


def _repaired(content: str) -> Any:
    """JSON with a "score", a lone one made a list; else what remains when names and words are put in quotes."""
    try:
        found = json.loads(content)
        found["score"] = found["score"] if isinstance(found["score"], list) else [found["score"]]
        return found
    except (ValueError, KeyError, TypeError):
        pass
    named = re.sub(r"(\w+):", r'"\1":', content)
    try:
        return json.loads(re.sub(r'(".*?"):(.*?)(,|})', _quoted, named))
    except ValueError:
        return False


def _quoted(pair: re.Match[str]) -> str:
    value = pair[2].strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        value = f"[{value}]"
    elif value.lower() not in ("true", "false", "null"):
        value = f'"{value}"'
    return f"{pair[1]}: {value}{pair[3]}"


def viescore_published(text: str, rule: JudgeRule) -> Verdict:
    """VIEScore's parser at its first try: strings, single scores and scores off the scale pass, nothing is made up."""
    return _worth(*viescore_parse(text, False, random.Random(0)), text)


def viescore_published_guessing(text: str, rule: JudgeRule) -> Verdict:
    """VIEScore's parser to its end: what cannot be read after two tries is a random number, drawn from the reply."""
    for last_try in (False, True):
        found, guessed = viescore_parse(text, last_try, random.Random(text))
        if isinstance(found, dict):
            return _worth(found, guessed, text)
    return malformed(text)


def _worth(found: Any, guessed: bool, text: str) -> Verdict:
    try:
        scores = tuple(float(score) for score in found["score"])
    except (TypeError, KeyError, ValueError):
        return Verdict((), Status.RATE_LIMITED) if found == RATE_LIMIT else malformed(text)
    return Verdict(scores, guessed=guessed) if scores else malformed(text)


def insightedit_published(text: str, rule: JudgeRule) -> Verdict:
    """InsightEdit's filter: a code fence is taken off, the rest must be JSON with two scores; any values pass."""
    bare = re.sub(r"^```(?:json)?|```$", "", text.strip()).strip()
    try:
        first, second = json.loads(bare)["score"]
        return Verdict((float(first), float(second)))
    except (ValueError, KeyError, TypeError):
        return malformed(text)


def imgedit_published(text: str, rule: JudgeRule) -> Verdict:
    """ImgEdit's: the digits after the only ": " of a line; `5/5`, `5.` and bold are lost, and the rest averaged."""
    halves = [line.strip().split(": ") for line in text.splitlines()]
    scores = tuple(float(half[1]) for half in halves if len(half) == 2 and half[1].isdigit())
    return Verdict(scores) if scores else malformed(text)


FILTERS: Mapping[str, Filter] = {
    "strict": strict,
    "imgedit_strict": imgedit_strict,
    "viescore_published": viescore_published,
    "viescore_published_guessing": viescore_published_guessing,
    "insightedit_published": insightedit_published,
    "imgedit_published": imgedit_published,
}


def get(name: str) -> Filter:
    """The filter of a name.

    Raises:
        UnknownName: there is none; the nearest name is suggested.
    """
    if name not in FILTERS:
        raise UnknownName(f"no filter '{name}'", "it is not in the table", suggest(name, FILTERS))
    return FILTERS[name]
