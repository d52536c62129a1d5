"""The list that a run starts from: captions, some perhaps with an instruction and the caption after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insightedit.backends.pair.triples import Triple, TripleKnobs, check, plain
from insightedit.core.config import Knobs
from insightedit.core.errors import InputError, Unfit
from insightedit.core.record import Reject
from insightedit.flow.step import fingerprint

# how lists call the three texts: ours, and those of InstructPix2Pix
NAMES = {
    "caption": ("caption", "input"),
    "instruction": ("instruction", "edit"),
    "edited": ("edited", "edited_caption", "output"),
}
FORMATS = 'Give a .txt with a caption a line, or a .jsonl of {"caption": ...}; see docs/imagined.md'


class CaptionKnobs(Knobs):
    """What is said of the pictures, which have no photographer: nothing of it decides a picture."""

    dataset: str = ""  # where the captions come from; "" = the name of their file
    author: str = ""
    licence: str = "unknown"  # of the sampled pictures: what the text-to-image model's terms say of its output
    licence_url: str = ""


@dataclass
class Listing:
    """A list as read: captions to ask about, triples that need nobody, and what is wrong with the other lines."""

    name: str  # of the file
    lines: int = 0
    captions: list[str] = field(default_factory=list)
    triples: list[Triple] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """Fingerprint of what will be worked on."""
        return fingerprint(self.captions, [triple.triple_id for triple in self.triples])


def read(path: Path, knobs: TripleKnobs) -> Listing:
    """Read a list; a line that does not do is a reject, and costs no other.

    Args:
        path: .txt or .jsonl, UTF-8. A JSON line with `caption` alone is a caption; one that also has `instruction` and
            `edited` is a triple. InstructPix2Pix's names `input`, `edit` and `output` will do; others are not read.
        knobs: which texts are fit. Captions to ask about are checked when they are asked about.

    Raises:
        InputError: no such file, one of another kind or not UTF-8, or no usable line in it.
    """
    found = Listing(path.name)
    asked: set[str] = set()
    given: set[str] = set()
    for number, line in _lines(path):
        found.lines += 1
        try:
            triple = _triple(line, path.suffix.lower() == ".jsonl")
            if triple.instruction:
                check(triple, knobs)
                _once(triple.triple_id, given, "duplicate_triple", triple.instruction)
                found.triples.append(triple)
            else:
                _once(plain(triple.caption), asked, "duplicate_caption", triple.caption)
                found.captions.append(triple.caption)
        except Unfit as unfit:
            at = f"{path.name}:{number}"
            found.rejects.append(
                Reject(step="source", reason=unfit.reason, uri=at, seen=unfit.seen, wanted=unfit.wanted)
            )
    if not found.captions and not found.triples:
        first = found.rejects[0] if found.rejects else None
        why = f"{first.reason} at {first.uri}: {first.seen}" if first else "it is empty"
        raise InputError(f"no caption in {path}", why, FORMATS)
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that hold anything."""
    if path.suffix.lower() not in (".txt", ".jsonl"):
        raise InputError(f"cannot read captions from {path}", "it is no .txt and no .jsonl", FORMATS)
    try:
        with open(path, encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InputError(f"cannot read {path}", error.strerror or str(error), "Check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}", "it is not UTF-8 text", "Save it as UTF-8") from error


def _triple(line: str, as_json: bool) -> Triple:
    """A line's texts; `instruction` and `edited` are "" where it is only a caption.

    Raises:
        Unfit: malformed_line, no_caption, half_a_triple.
    """
    values: Any = {"caption": line}
    if as_json:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Unfit("malformed_line", f"{error}: {line[:80]!r}", "a JSON object") from error
        if not isinstance(values, dict):
            raise Unfit("malformed_line", line[:80], "a JSON object")
    texts = {ours: next((text for name in names if (text := _text(values.get(name)))), "")
             for ours, names in NAMES.items()}  # fmt: skip
    if not texts["caption"]:
        raise Unfit("no_caption", line[:80].strip(), "a text under 'caption'")
    if bool(texts["instruction"]) != bool(texts["edited"]):
        raise Unfit("half_a_triple", line[:80].strip(), "both 'instruction' and 'edited', or neither")
    return Triple(**texts)


def _text(value: Any) -> str:
    """On one line and as UTF-8 can hold it; "" unless it is text."""
    return " ".join(value.encode("utf-8", "replace").decode().split()) if isinstance(value, str) else ""


def _once(key: str, known: set[str], reason: str, text: str) -> None:
    if key in known:
        raise Unfit(reason, text, "each once")
    known.add(key)
