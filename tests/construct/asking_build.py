"""A build that asks: photographs of coloured things, who finds and paints them, and a model that answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from chat_server import ChatServer
from fake_painters import Noise
from PIL import Image

from insightedit.backends.paint.table import PAINTERS
from insightedit.backends.segment.found import Findings, Found
from insightedit.construct.recipe import Recipe
from insightedit.core.config import validate
from insightedit.core.mask import Box, Mask

HERE = str(Path(__file__).parent)
WIDTH, HEIGHT = 320, 240
THINGS: dict[str, tuple[Box, tuple[int, int, int]]] = {
    "mug": ((30, 60, 90, 140), (200, 30, 30)),
    "bowl": ((170, 90, 250, 150), (30, 60, 200)),
}
USES = {"mug": "one drinks cocoa from", "bowl": "holds soup", "teapot": "one brews in"}
SCORES = {"instruction_followed": 9, "nothing_else_changed": 8, "naturalness": 8, "freedom_from_artifacts": 7}


def block(box: Box) -> Mask:
    full = np.zeros((HEIGHT, WIDTH), bool)
    full[box[1] : box[3], box[0] : box[2]] = True
    return Mask.of(full)


class Truth:
    """Finds as `GroundedSam` does, and knows where the things are."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def setup(self) -> None:
        """Nothing to load."""

    def release(self) -> None:
        """Nothing was loaded."""

    def masks(self, images: Sequence[np.ndarray], boxes: Sequence[Sequence[Box]]) -> list[list[tuple[Mask, float]]]:
        return [[(block(box), 0.9) for box in some] for some in boxes]

    def find_many(self, images: Sequence[np.ndarray], phrases: Sequence[Sequence[str]]) -> list[Findings]:
        (names,) = phrases
        there = [(at, THINGS[name][0]) for at, name in enumerate(names) if name in THINGS]
        return [Findings([Found(at, box, block(box), 0.8, 0.95) for at, box in there], [])]


def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds and who paints, instead of networks; for builds in this process."""
    monkeypatch.setattr("insightedit.construct.segment.GroundedSam", Truth)
    monkeypatch.setitem(sys.modules, "fake_noise", SimpleNamespace(Noise=Noise))
    monkeypatch.setitem(PAINTERS, "noise", "fake_noise:Noise")


def photographs(folder: Path, count: int = 2) -> Path:
    """Things on uneven ground; they look alike to people, and differ in every pixel."""
    folder.mkdir(parents=True)
    for number in range(count):
        ground = np.random.default_rng(number).integers(90, 160, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        image = cv2.resize(ground, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        for box, colour in THINGS.values():
            image[block(box).full()] = colour
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def answers(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    """A model that sees the things, says that all is well, or what is given by the name of the reply."""
    things = [
        {"category": name, "name": name, "detail": f"A {name} on the table.", "reason": "It stands alone."}
        | {"removable": True, "replaceable": True}
        for name in THINGS
    ]
    said: dict[str, Any] = {
        "Described": {"caption": "Things on a table.", "objects": things},
        "Targets": {"targets": [{"name": "teapot", "detail": "A small teapot.", "reason": "It fits."}]},
        "Instructed": instructed,
        "PointedBack": pointed_back,
        **changes,
    }

    def answer(body: dict[str, Any]) -> Any:
        form = body["response_format"]["json_schema"]
        if form["name"] in said:
            known = said[form["name"]]
            return known(body["messages"][1]["content"][0]["text"]) if callable(known) else known
        return {name: SCORES.get(name, "because") for name in form["schema"]["properties"]}

    return answer


def instructed(question: str) -> dict[str, Any]:
    """A command that names the thing and a riddle that does not, both ways."""
    names = re.findall(r"The object(?: of the (?:first|second) image| is)?: (\w+)\.", question)
    old, new = names[0], names[-1]
    there, back = (f"Remove the {old}", f"Add a {old}")
    if old != new:
        there, back = f"Swap the {old} for a {new}", f"Swap the {new} for a {old}"
    return {
        way: {
            "simple": [{"text": text, "clues": [clue("name", name)]}],
            "advanced": [{"text": f"I would do without what {USES[name]}", "clues": [clue("use", USES[name])]}],
        }
        for way, text, name in (("forward", there, old), ("reverse", back, new))
    }


def clue(says: str, word: str) -> dict[str, Any]:
    return {"says": says, "word": word, "others": [], "count": 0}


def pointed_back(question: str) -> dict[str, Any]:
    """Every thing of the list whose name or use is in the instruction."""
    listed, sentence = question.split("<instruction>")
    known = re.findall(r"^(\d+)\. (\w+)", listed, re.MULTILINE)
    return {
        "reason": "It is.",
        "numbers": [int(at) for at, name in known if name in sentence or USES[name] in sentence],
    }


def chat(server: ChatServer, **changes: Any) -> dict[str, Any]:
    """A section of knobs for a server, with little patience."""
    quick = {"first_pause_s": 0.01, "longest_pause_s": 0.02, "timeout_s": 5.0, "deadline_s": 5.0, "attempts": 2}
    return {"base_url": server.url, "model": "gpt-4o", **quick, **changes}


def score(server: ChatServer, **changes: Any) -> dict[str, Any]:
    """What is asked of the judge."""
    return {"chat": chat(server), "vie": {"crop": None}, **changes}


def values(server: ChatServer) -> dict[str, Any]:
    """A preset that asks: described and judged by a model, worded by templates; any folder stands for weights."""
    painter = {"painter": "noise", "settings": {"side": 64}}
    networks = {"detector": {"model": HERE}, "masks": {"model": HERE}}
    return {
        "preset": "asking",
        "photos_per_shard": 1,
        "source": {"licence": "CC0 1.0", "near_duplicate_bits": 0},
        "describe": {"backend": "mllm", "mllm": {"chat": chat(server), "max_side_px": 160}},
        "segment": {"backend": "grounded_sam", "grounded_sam": networks},
        "paint": {
            "backend": "networks",
            "networks": {"removal": painter, "replacement": painter},
            "removal": {"halo": False},
            "compose": False,
        },
        "judge": {"backend": "vie", "score": score(server)},
        "publish": {"splits": {"train": 1.0}},
    }


def recipe(server: ChatServer, **changes: dict[str, Any]) -> Recipe:
    """The preset with some sections changed, key by key."""
    given = values(server)
    return validate(
        Recipe, {**given, **{name: {**given.get(name, {}), **section} for name, section in changes.items()}}, "test"
    )


def asked_for(server: ChatServer) -> list[str]:
    """The names of the replies that were asked for, in order."""
    return [body["response_format"]["json_schema"]["name"] for body in server.bodies]
