"""What a run needs, looked for before it pays for anything: endpoints with their keys, and weights."""

from __future__ import annotations

from typing import Any

from insightedit.backends.chat.settings import need_chat, resolve
from insightedit.construct.ask import sections
from insightedit.construct.judge_vie import JudgeByVie
from insightedit.construct.paint_networks import PaintByNetworks
from insightedit.construct.segment import Segment
from insightedit.construct.source.plan import Plan
from insightedit.core.weights import find
from insightedit.flow.local import Line
from insightedit.flow.step import AsyncStep, Step


def see_needs(line: Line, plan: Plan) -> None:
    """Of the steps that are not done, if one of them asks: resolve who is asked, find or download what they load.

    A description that is paid for is worth nothing where the detector, or the judge's key, is not to be had.

    Raises:
        ConfigError: packages, model, key or address of a chat are missing or wrong; a painter without weights.
        InputError: weights that cannot be had.
    """
    if not line.asking:
        return
    todo = {step.name for shard in plan.shards() for step in line.steps if not line.is_done(shard.number, step)}
    if todo.isdisjoint(step.name for step in line.asking):
        return
    need_chat()
    for step in line.steps:
        if step.name in todo:
            _see(step)


def _see(step: Step[Any, Any]) -> None:
    if isinstance(step, AsyncStep):
        for section in sections(step.knobs):
            resolve(section)
    elif isinstance(step, PaintByNetworks):
        _ = step.engines  # which finds them, and is wanted anyway
    elif isinstance(step, Segment) and step.knobs.backend == "grounded_sam":
        knobs = step.knobs.grounded_sam
        for network in (knobs.detector, knobs.masks):
            find(network.model, network.revision)
    elif isinstance(step, JudgeByVie) and step.knobs.clip:
        find(step.knobs.clip.model, step.knobs.clip.revision)
