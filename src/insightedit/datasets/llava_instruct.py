"""LLaVA-Instruct-150k (Liu et al., 2023): conversations about pictures of COCO, so that the MLLM forgets nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from insightedit.core.config import Knobs
from insightedit.core.errors import Unfit
from insightedit.datasets import pictures
from insightedit.datasets.example import TalkExample, whole
from insightedit.datasets.layout import document, fields, need, of_record, probe, wrong
from insightedit.datasets.packed import Packed

LAYOUT = (
    "llava_instruct_150k.json: a list of {id, image, conversations: [{from: human|gpt, value}]}; "
    "COCO's train2017/*.jpg at `images`"
)
IMAGE = "<image>"


class LLaVAInstructKnobs(Knobs):
    """Where it is."""

    path: Path  # the JSON file
    images: Path  # COCO train2017


class LLaVAInstruct:
    """All rounds of a conversation; the picture's marker is taken out of the first question."""

    Knobs: ClassVar[type[Knobs]] = LLaVAInstructKnobs
    role = "llava"

    def __init__(self, knobs: LLaVAInstructKnobs, name: str = "llava") -> None:
        self.knobs, self.name = knobs, name
        records = document(knobs.path, list, LAYOUT)
        if not records:
            raise wrong(knobs.path, "it is empty", LAYOUT)
        self.items = Packed(records)
        self.left_out: Counter[str] = Counter()
        self.parts = whole(len(self))
        need(knobs.images, LAYOUT)
        first = [record for record in records[:64] if isinstance(record, dict) and "image" in record][:8]
        probe(self._image, first, knobs.images, LAYOUT)

    def __len__(self) -> int:
        return len(self.items)

    def _image(self, record: Any) -> Path:
        (name,) = fields(record, image=str)
        return of_record(self.knobs.images, name)

    def example(self, index: int, seed: int) -> TalkExample:
        """One conversation; nothing about it is drawn. A record without `image` is text only."""
        record = self.items[index]
        (turns,) = fields(record, conversations=list)
        key = f"{index}-{record.get('id', '')}"
        image = pictures.read(self._image(record)) if "image" in record else None
        rounds = _rounds(turns)
        marked = rounds[0][0].strip()
        if (IMAGE in marked) != (image is not None):
            raise Unfit("malformed_record", f"{key}: {IMAGE} and `image` disagree", "both or neither")
        first = (marked.replace(IMAGE, "", 1).strip(), rounds[0][1])
        if any(IMAGE in said for pair in (first, *rounds[1:]) for said in pair):
            raise Unfit("malformed_record", f"{key}: {IMAGE} stands elsewhere too", "one, in the first question")
        if not all(said for pair in (first, *rounds[1:]) for said in pair):
            raise Unfit("malformed_record", f"{key}: a turn is empty", "words")
        return TalkExample(key, self.name, image, (first, *rounds[1:]), not marked.endswith(IMAGE))


def _rounds(turns: list[Any]) -> list[tuple[str, str]]:
    """[human, gpt, human, gpt, ...] -> [(question, answer), ...]."""
    told = [fields(turn, **{"from": str, "value": str}) for turn in turns]
    wanted = ["human", "gpt"] * (len(told) // 2)
    if not told or [speaker for speaker, _ in told] != wanted:
        raise Unfit("malformed_record", " ".join(speaker for speaker, _ in told)[:60], "human and gpt in turns")
    words = [value.strip() for _, value in told]
    return list(zip(words[::2], words[1::2], strict=True))
