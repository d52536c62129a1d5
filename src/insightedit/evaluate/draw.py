"""An evaluation set from a built dataset: balanced over kinds of edits, sharing no photograph with the rest.

Rows of one photograph, of near-duplicates of it, or with a picture in common are one family. A family is drawn from at
most as often as must be, and all of its rows are named in exclude.json, so that training can leave them out.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from insightedit.core.config import validate
from insightedit.core.errors import InputError, OutputError
from insightedit.core.files import TEMPORARY, sha256_of, write_json, write_text
from insightedit.core.seed import derive
from insightedit.datasets.layout import document, need, sentences, wrong
from insightedit.datasets.tables import Rows, small_columns
from insightedit.evaluate.benchmark import DESCRIPTION, Description
from insightedit.evaluate.readers.pairs import TABLE
from insightedit.scenes.published import ENGINE

LAYOUT = "the dataset/ folder of `insightedit build`: manifest.json and data/SPLIT-NNNNN-of-NNNNN.parquet"
CATEGORIES = ("removal", "addition", "replacement")
EXCLUDE = "exclude.json"
PREFERRED = ("test", "validation")  # splits that training does not see; the others only if these do not suffice
FAMILY = ("image_id", "source_cluster", "source_sha256", "edited_sha256", "phash")
WORDS = ("object_before", "object_after", "look_before", "look_after", "desc_before", "desc_after", "caption_source")
TOLD = ("instr_fwd_simple", "instr_fwd_advanced", "instr_rev_simple", "instr_rev_advanced")
ABOUT = ("method", "natural_direction", "license", "license_url", "author", "source_url", "source_dataset")
SMALL = ("edit_id", "task", "engine", "keep_fwd", "keep_rev", *FAMILY, *WORDS, *TOLD, *ABOUT)
PICTURES = ("source_image", "edited_image", "mask")


@dataclass(frozen=True)
class Directed:
    """One way of one row: "fwd" is source -> edited."""

    split: str
    row: int
    way: str
    about: Mapping[str, Any]  # the small columns

    @property
    def category(self) -> str:
        if self.about["task"] == "replace":
            return "replacement"
        return "removal" if self.way == "fwd" else "addition"

    @property
    def id(self) -> str:
        return f"{self.about['edit_id']}-{self.way}"

    def told(self, kind: str) -> list[str]:
        """Its instructions of a kind: "simple" or "advanced"."""
        return sentences(self.about[f"instr_{self.way}_{kind}"])


@dataclass
class Drawn:
    """What was drawn, and what training must leave out for it."""

    out: Path
    samples: int = 0
    categories: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)  # of the dataset -> samples drawn there
    photographs: int = 0
    excluded: dict[str, int] = field(default_factory=dict)  # split -> rows that training must leave out
    left: dict[str, int] = field(default_factory=dict)  # split -> rows that stay


def draw(
    dataset: Path, out: Path, count: int = 300, seed: int = 0, splits: Sequence[str] = (), name: str = "eval-set"
) -> Drawn:
    """Draw a set and write it in the common form, with `benchmark.yaml` and `exclude.json`.

    Args:
        dataset: the folder that `insightedit build` left, or its dataset/.
        out: a new folder, or one that this wrote before; it is replaced when the new set is whole.
        count: samples; categories differ by one at most.
        seed: another seed, another set.
        splits: of the dataset, in order of preference; empty: test, validation, then all others.
        name: of the benchmark.

    Raises:
        InputError: the dataset cannot be read, or holds too few edits of a category.
        OutputError: `out` holds something else, or cannot be written.
    """
    root = need(dataset / "dataset" if (dataset / "dataset").is_dir() else dataset, LAYOUT)
    _refuse_strangers(out)
    validate(Description, {"name": name, "version": 1}, "the name of the set")
    manifest = document(root / "manifest.json", dict, LAYOUT)
    tables = {split: Rows(root, split, (*SMALL, *PICTURES), LAYOUT) for split in _splits(manifest, splits, root)}
    chosen = _choose({name: rows for name, rows in tables.items() if not splits or name in splits}, count, seed)
    excluded, left, exclude = _families(tables, chosen)
    drawn = Drawn(
        out=out,
        samples=len(chosen),
        categories=dict(Counter(one.category for one in chosen)),
        splits=dict(Counter(one.split for one in chosen)),
        photographs=len({one.about["image_id"] for one in chosen}),
        excluded=excluded,
        left=left,
    )
    exclude = {"dataset": manifest.get("name"), "content_hash": manifest.get("content_hash"), **exclude}
    try:
        _write(out, tables, chosen, exclude, _description(name, manifest, drawn, seed))
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(f"could not write {out}", why, "Free some space or choose another folder") from error
    return drawn


def _splits(manifest: Mapping[str, Any], wanted: Sequence[str], root: Path) -> list[str]:
    """The splits that have rows: those preferred first."""
    counted = manifest.get("splits")
    if not isinstance(counted, dict):
        raise wrong(root / "manifest.json", "it does not count its splits", LAYOUT)
    there = [name for name, rows in counted.items() if rows]
    for name in wanted:
        if name not in there:
            raise InputError(f"no split '{name}' in {root}", f"it has {', '.join(there) or 'none'}", "Use one of these")
    first = [name for name in wanted or PREFERRED if name in there]
    return first + [name for name in there if name not in first]


# --- choice ----------------------------------------------------------------------------------------------------------


def _choose(tables: Mapping[str, Rows], count: int, seed: int) -> list[Directed]:
    """`count` ways of as many rows: kinds in turn, photographs spread, no row twice."""
    taking = _Taking({name: (count + 2 - place) // 3 for place, name in enumerate(CATEGORIES)})
    for split, rows in tables.items():
        if not taking.lacks():
            break
        offered = _offered(split, small_columns(rows, SMALL).to_pylist(), seed)
        deepest = Counter(one.about["source_cluster"] for ways in offered.values() for one in ways)
        for most in range(1, max(deepest.values(), default=0) + 1):
            taking.take(offered, most)  # a second edit of a photograph only when every photograph has given one
    if taking.lacks():
        have = Counter(one.category for one in taking.chosen)
        seen = ", ".join(f"{have[name]} {name}" for name in CATEGORIES)
        least = 3 * min(have[name] for name in CATEGORIES)
        mend = f"Use --count {least} or less" if least else "Build a larger dataset, or draw from more splits"
        raise InputError(f"{count} samples cannot be drawn evenly", f"there are {seen} of different rows", mend)
    return sorted(taking.chosen, key=lambda one: (CATEGORIES.index(one.category), derive(seed, one.id, "order")))


def _offered(split: str, rows: Sequence[dict[str, Any]], seed: int) -> dict[str, list[Directed]]:
    """Category -> its kept, worded edits in drawn order."""
    found: dict[str, list[Directed]] = {name: [] for name in CATEGORIES}
    for number, about in enumerate(rows):
        for way in ("fwd", "rev"):
            one = Directed(split, number, way, about)
            if about[f"keep_{way}"] and (one.told("simple") or one.told("advanced")):
                found[one.category].append(one)
    for ways in found.values():
        ways.sort(key=lambda one: derive(seed, one.id, "draw"))
    return found


class _Taking:
    """What is chosen so far, and what each category still lacks."""

    def __init__(self, quota: dict[str, int]) -> None:
        self.quota, self.chosen = quota, list[Directed]()
        self.used: set[str] = set()
        self.families: Counter[str] = Counter()

    def lacks(self) -> bool:
        return any(self.quota.values())

    def take(self, offered: Mapping[str, Sequence[Directed]], most: int) -> None:
        """Take from the categories in turn, of families that gave fewer than `most`."""
        waiting = {name: iter(ways) for name, ways in offered.items() if self.quota[name]}
        while waiting:
            for name in list(waiting):
                one = next((one for one in waiting[name] if self._fits(one, most)), None)
                if one is not None:
                    self.chosen.append(one)
                    self.used.add(one.about["edit_id"])
                    self.families[one.about["source_cluster"]] += 1
                    self.quota[name] -= 1
                if one is None or not self.quota[name]:
                    del waiting[name]

    def _fits(self, one: Directed, most: int) -> bool:
        return one.about["edit_id"] not in self.used and self.families[one.about["source_cluster"]] < most


def _families(
    tables: Mapping[str, Rows], chosen: Sequence[Directed]
) -> tuple[dict[str, int], dict[str, int], dict[str, Any]]:
    """Rows that share a photograph, a cluster or a picture with a chosen one: counted by split, and by name."""
    marks = {key: sorted({one.about[key] for one in chosen}) for key in FAMILY}
    pictures = sorted({*marks["source_sha256"], *marks["edited_sha256"]})
    marks |= {"source_sha256": pictures, "edited_sha256": pictures}
    excluded, left, ids, images = {}, {}, set[str](), set[str]()
    for split, rows in tables.items():
        table = small_columns(rows, ("edit_id", *FAMILY))
        shares = np.zeros(len(table), bool)
        for key, known in marks.items():
            shares |= np.asarray(pc.is_in(table[key], pa.array(known, table.schema.field(key).type)))
        found = table.filter(pa.array(shares))
        ids |= set(found["edit_id"].to_pylist())
        images |= set(found["image_id"].to_pylist())
        excluded[split], left[split] = int(shares.sum()), int((~shares).sum())
    named = {
        "edit_ids": sorted(ids),
        "image_ids": sorted(images),
        "source_clusters": marks["source_cluster"],
        "picture_sha256": pictures,
        "phashes": [f"{value:016x}" for value in marks["phash"]],
    }
    return excluded, left, named


# --- files -----------------------------------------------------------------------------------------------------------


def _refuse_strangers(out: Path) -> None:
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / EXCLUDE).is_file())):
        why = "there is something that `insightedit eval-set` did not write"
        raise OutputError(f"could not write {out}", why, "Move it away or choose another folder")


def _write(
    out: Path, tables: Mapping[str, Rows], chosen: Sequence[Directed], exclude: Mapping[str, Any], about: str
) -> None:
    """Everything beside the final place; then a rename, so that a set is whole or absent."""
    folder = out.with_name(out.name + TEMPORARY)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    try:
        lines = [_sample(folder, tables[one.split], one, number) for number, one in enumerate(chosen, 1)]
        write_text(folder / TABLE, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        write_json(folder / EXCLUDE, exclude)
        write_text(folder / DESCRIPTION, about)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sample(folder: Path, rows: Rows, one: Directed, number: int) -> dict[str, Any]:
    """A line of the table, its pictures written as they are stored: what was equal outside the mask stays equal."""
    row, about = rows[one.row], one.about
    sides = {"source": "source_image", "target": "edited_image", "mask": "mask"}
    if one.way == "rev":
        sides |= {"source": "edited_image", "target": "source_image"}
    places, hashes = {}, {}
    for part, column in sides.items():
        data = row[column]["bytes"]
        suffix = "png" if data.startswith(b"\x89PNG") else "jpg"
        name = f"images/{number:05d}-{part}.{suffix}"
        (folder / name).write_bytes(data)
        places[part], hashes[part] = name, sha256_of(folder / name)
    simple, advanced = one.told("simple"), one.told("advanced")
    caption = {"fwd": "caption_source", "rev": "caption_target"}[one.way]
    said = {
        "id": one.id,
        "category": one.category,
        "split": "advanced" if advanced else "simple",
        **places,
        "instruction": (advanced or simple)[0],
        "instruction_simple": simple[0] if simple else None,
        caption: about["caption_source"] or None,
        "clip_text": _clip_text(one),
        "session": about["image_id"],
        "sha256": hashes,
        "meta": {"dataset_split": one.split, **{name: about[name] for name in ("source_cluster", *ABOUT)}},
    }
    return {key: value for key, value in said.items() if value is not None}


def _clip_text(one: Directed) -> str | None:
    """What the edited place shows afterwards; nothing for a removal, for which there is no convention."""
    if one.category == "removal":
        return None
    side = "before" if one.way == "rev" else "after"
    detail, look, what = (one.about[f"{word}_{side}"] for word in ("desc", "look", "object"))
    plain = " ".join(word for word in (look, what) if word)
    if look or one.about["engine"] == ENGINE:  # a scene's detail is a formula, see `scenes.published`
        return plain or None
    return detail or plain or None


def _description(name: str, manifest: Mapping[str, Any], drawn: Drawn, seed: int) -> str:
    """`benchmark.yaml` of the set."""
    made = f"drawn from {manifest.get('name')} ({str(manifest.get('content_hash'))[:12]}) with seed {seed}"
    about = {
        "name": name,
        "version": 1,
        "title": f"{drawn.samples} edits of {drawn.photographs} photographs",
        "expected": [drawn.samples],
        "profiles": ["smartedit_2023", "smartedit_tm19", "background_strict", "viescore_0_10"],
        "groups": {"all": {}, **{category: {"categories": [category]} for category in drawn.categories}},
        "licence": "each sample names its photograph's own, below meta",
        "citation": made,
        "remarks": [f"Leave the rows of {EXCLUDE} out of training, or the numbers say nothing."],
    }
    head = f"# An evaluation set, {made}. See docs/benchmarks.md.\n"
    return head + yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=110)
