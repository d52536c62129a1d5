"""Reason-Edit (Huang et al., 2024, SmartEdit) as released: a folder per scenario, images, masks and a text file.

The authors' script pairs images, masks and lines by position alone, and never scores the reasoning folder: it collects
folders that end in "Reasoning-231115" and then looks for "6-Reasoning". Here masks are found by name, lines are counted
against images, and both names of that folder are known.

Positions betray names of unequal length: "1.png" sorts before "10.png", but "10_mask.jpg" before "1_mask.jpg", so the
script scores image 1 with the mask of image 10. `pairing` "position" does as the script does; a remark says where the
two differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from insightedit.core.config import Knobs
from insightedit.datasets.layout import natural, need, wrong
from insightedit.evaluate.pictures import FilePicture
from insightedit.evaluate.readers.read import Layout, Read, text_of
from insightedit.evaluate.sample import Fault, Sample

ROOT = "ReasonEdit_benckmark_dir"  # as it is spelled in the release
MASK = "_mask.jpg"
MARK = "CLIP: "  # between instruction and caption
OUTPUT = "{folder}/{number:04d}_T7.5_I1.5.png"  # as the authors' inference names what it makes, from 1


class Scenario(Knobs):
    """A folder of the release."""

    name: str
    text: str  # its text file
    outputs: str  # the folder of the outcomes, below the folder of a model
    split: str
    older: str = ""  # how an older name of the folder ends


class ReasonEdit(Layout):
    """`pairing`: of images and masks; "position" repeats what the published script does, right or wrong."""

    LAYOUT: ClassVar[str] = (
        f"{ROOT}/ with 1-Left-Right .. 6-Reasoning, in each NAME.png, NAME{MASK} and a text file with one line "
        "'instruction  CLIP: caption' per image, in the order of the sorted names"
    )

    path: Path
    scenarios: tuple[Scenario, ...]
    pairing: Literal["name", "position"] = "name"

    def read(self, benchmark: str) -> Read:
        """Every scenario, in order; one that is not there is missing."""
        root = need(self.path, self.LAYOUT)
        root = root / ROOT if (root / ROOT).is_dir() else root
        if not root.is_dir():
            raise wrong(root, "it is no folder", self.LAYOUT)
        found = Read()
        for scenario in self.scenarios:
            folder = _folder(root, scenario)
            if folder is None:
                found.missing.append(f"{root} has no folder {scenario.name}")
            else:
                self._scenario(folder, scenario, benchmark, found)
        if not found.samples:
            raise wrong(root, "it has none of the folders", self.LAYOUT)
        return found

    def _scenario(self, folder: Path, scenario: Scenario, benchmark: str, found: Read) -> None:
        names = _names(folder)
        lines = _lines(need(folder / scenario.text, self.LAYOUT))
        if len(lines) != len(names):
            why = (
                f"{len(names)} images but {len(lines)} lines in {scenario.text}: nobody can say which belongs to which"
            )
            raise wrong(folder, why, self.LAYOUT)
        if names != sorted(names, key=natural):
            order = ", ".join(names[:3])
            found.remarks.append(
                f"{scenario.name}: its lines belong to the names as the authors sort them: {order}, .."
            )
        masks = self._masks(folder, scenario, names, found)
        for number, (name, mask, line) in enumerate(zip(names, masks, lines, strict=True), 1):
            found.samples.append(_sample(folder, scenario, benchmark, number, name, mask, line))

    def _masks(self, folder: Path, scenario: Scenario, names: list[str], found: Read) -> list[str]:
        """The file name of each image's mask."""
        own = [name + MASK for name in names]
        by_position = sorted(name for name in own if (folder / name).is_file())
        if len(by_position) != len(own):
            if self.pairing == "position":
                raise wrong(folder, f"{len(own)} images but {len(by_position)} masks", self.LAYOUT)
            return own
        crossed = [name for name, mine, other in zip(names, own, by_position, strict=True) if mine != other]
        if crossed:
            other = by_position[names.index(crossed[0])]
            found.remarks.append(
                f"{scenario.name}: the published script pairs {len(crossed)} images with masks of others, such as "
                f"{crossed[0]}.png with {other}; pairing={self.pairing} was used"
            )
        return own if self.pairing == "name" else by_position


def _folder(root: Path, scenario: Scenario) -> Path | None:
    if (root / scenario.name).is_dir():
        return root / scenario.name
    older = sorted(path for path in root.iterdir() if path.is_dir() and path.name.endswith(scenario.older))
    return older[0] if scenario.older and len(older) == 1 else None


def _names(folder: Path) -> list[str]:
    """The images without their suffix, sorted as the authors sort them ("10" before "2").

    Raises:
        InputError: a mask that no image belongs to, or that would be taken for an image.
    """
    files = {path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    strange = sorted(name for name in files if name.endswith("_mask.png"))
    if strange:
        raise wrong(folder / strange[0], "a mask as PNG would be taken for an image", ReasonEdit.LAYOUT)
    images = sorted(name for name in files if name.endswith(".png"))
    names = [name.removesuffix(".png") for name in images]
    alone = sorted(name for name in files if name.endswith(MASK) and name.removesuffix(MASK) not in names)
    if alone:
        image = alone[0].removesuffix(MASK) + ".png"
        raise wrong(folder / alone[0], f"it is the mask of {image}, which is not there", ReasonEdit.LAYOUT)
    return names


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(path, str(error), ReasonEdit.LAYOUT) from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _sample(folder: Path, scenario: Scenario, benchmark: str, number: int, name: str, mask: str, line: str) -> Sample:
    said, mark, caption = line.partition(MARK)
    instruction, where, fault = text_of(said), f"line {number} of {scenario.text}", None
    if instruction is None:
        fault = Fault("no_instruction", f"{where} is blank")
    elif not mark:
        fault = Fault("malformed_record", f"{where} has no '{MARK.strip()}'")
    return Sample(
        id=f"{scenario.name}/{name}",
        benchmark=benchmark,
        category=scenario.name,
        split=scenario.split,
        source=FilePicture(folder / f"{name}.png"),
        mask=FilePicture(folder / mask),
        instruction=instruction or "",
        clip_text=text_of(caption.partition(MARK)[0]),
        output=OUTPUT.format(folder=scenario.outputs, number=number),
        fault=fault,
    )
