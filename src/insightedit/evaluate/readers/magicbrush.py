"""MagicBrush's test split (Zhang et al., 2023): sessions of edits by hand; each edit alone, or a session as a chain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from insightedit.core.errors import Unfit
from insightedit.datasets.layout import document, fields, natural, need
from insightedit.evaluate.pictures import Absent, Picture, placed
from insightedit.evaluate.readers.read import Layout, Read, text_of
from insightedit.evaluate.sample import Fault, Sample


class MagicBrush(Layout):
    """`mode` single: every turn from the true result of the one before. multi: a whole session, its last result."""

    LAYOUT: ClassVar[str] = (
        "test/ with images/IMG_ID/IMG_ID-input.png, -output1.png, -mask1.png, ..; edit_sessions.json {IMG_ID: [{input, "
        "mask, output, instruction}]}; local_captions.json {IMG_ID: {image name: caption}}"
    )

    path: Path
    mode: Literal["single", "multi"]

    def read(self, benchmark: str) -> Read:
        """Sessions in the order of their numbers."""
        root = need(self.path, self.LAYOUT)
        root = root / "test" if (root / "test").is_dir() else root
        sessions = document(root / "edit_sessions.json", dict, self.LAYOUT)
        files = _Files(root, need(root / "images", self.LAYOUT), benchmark)
        found = Read()
        for session in sorted(sessions, key=natural):
            turns = sessions[session]
            if not isinstance(turns, list) or not turns:
                found.missing.append(f"session {session} of edit_sessions.json has no turns")
            elif self.mode == "single":
                found.samples += files.single(session, turns)
            else:
                found.samples.append(files.chain(session, turns))
        strange = sorted({path.name for path in files.images.iterdir() if path.is_dir()} - set(sessions))
        if strange:
            found.missing.append(f"{len(strange)} folders below images/ have no session, such as {strange[0]}")
        return found


class _Files:
    """The files of a release, and what of a session becomes a sample."""

    def __init__(self, root: Path, images: Path, benchmark: str) -> None:
        self.images, self.benchmark = images, benchmark
        self.local = document(root / "local_captions.json", dict, MagicBrush.LAYOUT)
        whole = sorted(root.glob("global_*.json"))
        self.whole: dict[str, Any] = document(whole[0], dict, MagicBrush.LAYOUT) if whole else {}

    def single(self, session: str, turns: list[Any]) -> Iterator[Sample]:
        """Each turn as an edit of its own (the authors' "all_turn")."""
        for number, turn in enumerate(turns, 1):
            name = f"{session}_1.png" if number == 1 else f"{session}_inde_{number}.png"
            fault = self._fault(turn)
            yield Sample(
                id=f"{session}/{number}",
                category=f"turn-{number}",
                instruction=text_of(_get(turn, "instruction")) or "",
                turn=number,
                output=f"{session}/{name}",
                fault=fault,
                **self._ends(session, turn, turn),
            )

    def chain(self, session: str, turns: list[Any]) -> Sample:
        """A session from its first picture to its last (the authors' "final_turn")."""
        said = tuple(text_of(_get(turn, "instruction")) or "" for turn in turns)
        name = f"{session}_1.png" if len(turns) == 1 else f"{session}_iter_{len(turns)}.png"
        fault = next((fault for turn in turns if (fault := self._fault(turn))), None) or _broken(turns)
        return Sample(
            id=session,
            category=f"{len(turns)}-turns",
            instruction=" Then: ".join(said),
            turns=said if len(said) > 1 else (),
            output=f"{session}/{name}",
            fault=fault,
            **self._ends(session, turns[0], turns[-1]),
        )

    def _ends(self, session: str, first: Any, last: Any) -> dict[str, Any]:
        """What a sample says about where it starts and where it should end."""
        source, target = _get(first, "input"), _get(last, "output")
        whole = self.whole.get(session)
        return {
            "benchmark": self.benchmark,
            "session": session,
            "source": self._picture(session, source),
            "target": self._picture(session, target),
            "mask": self._picture(session, _get(last, "mask")) if first is last else None,
            "mask_in": "alpha",
            "clip_text": text_of(_get(self.local.get(session), target)),
            "caption_source": text_of(_get(whole, source)),
            "caption_target": text_of(_get(whole, target)),
        }

    def _picture(self, session: str, name: Any) -> Picture:
        if not isinstance(name, str) or not name.strip():
            return Absent(repr(name)[:60], "malformed_record", "no file name", "a path")
        return placed(self.images, f"{session}/{name}")

    def _fault(self, turn: Any) -> Fault | None:
        try:
            said = fields(turn, input=str, output=str, instruction=str)[2]
        except Unfit as error:
            return Fault(error.reason, f"{error.seen}; wanted: {error.wanted}")
        return None if text_of(said) else Fault("no_instruction", "the instruction is blank")


def _broken(turns: list[Any]) -> Fault | None:
    """A chain whose turns do not start where the one before ended."""
    for number, (before, turn) in enumerate(pairwise(turns), 2):
        if turn["input"] != before["output"]:
            why = f"turn {number} starts from {turn['input']}, turn {number - 1} ends in {before['output']}"
            return Fault("malformed_record", why)
    return None


def _get(record: Any, key: Any) -> Any:
    return record.get(key) if isinstance(record, dict) and isinstance(key, str) else None
