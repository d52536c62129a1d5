"""The page of an evaluation: tables, charts, comparisons, and every sample side by side. Nothing leaves the folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from insightedit import __version__
from insightedit.core.files import write_text
from insightedit.core.page import filled
from insightedit.evaluate import thumbnails
from insightedit.evaluate.contenders import ReferenceContender
from insightedit.evaluate.generate import Generated
from insightedit.evaluate.results import TRUTH, Cell, EditorResult, Results, Row
from insightedit.evaluate.sample import Benchmark, Sample
from insightedit.evaluate.tables import OVERALL, Column, Sheet, general_notes, is_bound
from insightedit.evaluate.thumbnails import TINY, Thumbnail, Views
from insightedit.metrics.outcome import Status
from insightedit.metrics.summary import Stat

PICTURES = "pictures"
SAMPLES = 2000  # shown at most: those with the smallest hashes of their ids; tables are of all
MARK = '<meta name="generator" content="insightedit evaluate">'


def write(
    folder: Path,
    results: Results,
    rows: Sequence[Row],
    sheets: Sequence[Sheet],
    benchmark: Benchmark,
    outputs: Mapping[str, Generated],
) -> None:
    """Write index.html and its pictures.

    Args:
        folder: OUT/BENCHMARK.
        results, rows: of one run.
        sheets: their tables.
        benchmark: the samples, as run.
        outputs: what each editor made, by label.

    Raises:
        OutputError, OSError: the disk is full or the place cannot be written.
    """
    samples = _drawn(benchmark.samples)
    views = thumbnails.make(folder / PICTURES, samples, outputs)
    known = {(row.label, row.id): row for row in rows}
    columns = [item for sheet in sheets for item in sheet.columns]
    groups, whys = _tables(sheets), _Words()
    used = results.benchmark
    data = {
        "folder": PICTURES,
        "counts": _counts(results, rows),
        "profiles": _profiles(sheets),
        "columns": [_column(item, sheet) for sheet in sheets for item in sheet.columns],
        "editors": [_editor(editor, rows) for editor in results.editors],
        **groups,
        "paired": _paired(results, columns, groups["groups"]),
        "notes": general_notes(results),
        "samples": [
            _sample(sample, view, [known.get((editor.label, sample.id)) for editor in results.editors], columns, whys)
            for sample, view in zip(samples, views, strict=True)
        ],
        "whys": whys.known,
        "samples_of": len(benchmark.samples),
        "run": _run(results),
    }
    title = f"{used.title or used.name}: {len(results.editors)} editors"
    note = f"{used.name} v{used.version}, seed {results.seed}, {results.made}. {used.citation}".strip()
    words = {"TITLE": title, "NOTE": note, "VERSION": __version__}
    here = Path(__file__)
    write_text(
        folder / "index.html", filled(here.with_suffix(".html"), words, data, MARK, script=here.with_suffix(".js"))
    )


def _drawn(samples: Sequence[Sample]) -> list[Sample]:
    """At most `SAMPLES`, any as likely as another, in their order."""
    smallest = sorted(samples, key=lambda one: hashlib.sha256(one.id.encode("utf-8", "replace")).digest())[:SAMPLES]
    chosen = {one.id for one in smallest}
    return [one for one in samples if one.id in chosen]


class _Words:
    """Sentences that many samples share, each told once; samples hold their places."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Where a sentence is told."""
        if text not in self._places:
            self._places[text] = len(self.known)
            self.known.append(text)
        return self._places[text]


def _counts(results: Results, rows: Sequence[Row]) -> dict[str, str]:
    judges = dict.fromkeys(profile.judge.model for profile in results.profiles if profile.judge)
    return {
        "samples": f"{results.benchmark.samples:,}",
        "editors": str(len(results.editors)),
        "profiles": str(len(results.profiles)),
        "outcomes": f"{sum(row.output is not None for row in rows):,} of {len(rows):,}",
        **({"judge": ", ".join(judges)} if judges else {}),
    }


def _column(item: Column, sheet: Sheet) -> dict[str, Any]:
    return {**asdict(item), "profile": sheet.title, "share": item.profile == TRUTH}


def _profiles(sheets: Sequence[Sheet]) -> list[dict[str, Any]]:
    found, at = [], 0
    for sheet in sheets:
        places = list(range(at, at + len(sheet.columns)))
        notes = ([f"{sheet.title}: {sheet.about}."] if sheet.about else []) + list(sheet.notes)
        found.append({"title": sheet.title, "columns": places, "notes": notes})
        at += len(places)
    return found


def _editor(editor: EditorResult, rows: Sequence[Row]) -> dict[str, Any]:
    folder = next((row.output.rpartition("/")[0] for row in rows if row.label == editor.label and row.output), "")
    return {
        "label": editor.label,
        "bound": is_bound(editor),
        "target": editor.label == ReferenceContender.label,
        "seconds": editor.seconds,
        "folder": quote(folder),
    }


def _tables(sheets: Sequence[Sheet]) -> dict[str, Any]:
    """Group -> editor -> column, and the same by category; a profile without a group has no cells there."""
    names = list(dict.fromkeys(block.name for sheet in sheets for block in sheet.blocks))
    names.sort(key=lambda name: name == OVERALL)
    editors = len(sheets[0].blocks[0].lines)
    tables: dict[str, Any] = {name: [[] for _ in range(editors)] for name in names}
    categories: dict[str, Any] = {name: [[] for _ in range(editors)] for sheet in sheets for name in sheet.categories}
    for sheet in sheets:
        blocks = {block.name: block for block in sheet.blocks}
        for name in names:
            for place, row in enumerate(tables[name]):
                line = blocks[name].lines[place] if name in blocks else None
                row += [_stat(*pair) for pair in zip(line.stats, line.best, strict=True)] if line else [
                    None for _ in sheet.columns
                ]  # fmt: skip
        for name, found in categories.items():
            for place, row in enumerate(found):
                known = sheet.categories.get(name)
                row += [_stat(stat) for stat in (known[place] if known else (None,) * len(sheet.columns))]
    sizes = {block.name: max(line.samples for line in block.lines) for sheet in sheets for block in sheet.blocks}
    return {"groups": names, "sizes": sizes, "tables": tables, "categories": categories}


def _stat(stat: Stat | None, best: bool = False) -> dict[str, Any] | None:
    if stat is None:
        return None
    found = {"mean": stat.mean, "stderr": stat.stderr, "n": stat.n, "scored": stat.scored, "infinite": stat.n_inf}
    return {**found, **({"best": True} if best else {})}


def _paired(results: Results, columns: Sequence[Column], groups: Sequence[str]) -> list[list[Any]]:
    """First, second, column and group by their places, then what was found."""
    places = {(item.profile, item.metric): place for place, item in enumerate(columns)}
    editors = {editor.label: place for place, editor in enumerate(results.editors)}
    return [
        [
            editors[one.first],
            editors[one.second],
            places[one.profile, one.metric],
            None if one.group is None else groups.index(one.group),
            one.n,
            *(_short(value) for value in (one.difference, one.low, one.high, one.p)),
        ]
        for one in results.paired
        if one.difference is not None
    ]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


# --- samples ---------------------------------------------------------------------------------------------------------


def _sample(
    sample: Sample, view: Views, rows: Sequence[Row | None], columns: Sequence[Column], whys: _Words
) -> dict[str, Any]:
    source, target = view.source, view.target
    found: dict[str, Any] = {
        "id": sample.id,
        "category": sample.category,
        "split": sample.split,
        "instruction": sample.instruction,
        "size": view.frame,
        "outline": view.outline,
        "source": Path(source.file).stem if source else "",
        "of": [_outcome(row, view, columns, whys) for row in rows],
    }
    if source and max(source.width, source.height) <= TINY:
        found["tiny"] = True
    if target:
        found |= {"target": Path(target.file).stem, **_own_size("target_size", target, view)}
    if view.fault:
        found["fault"] = view.fault
    return found


def _outcome(row: Row | None, view: Views, columns: Sequence[Column], whys: _Words) -> dict[str, Any]:
    """One editor's outcome: picture, status, and a value or the reason for none per column."""
    if row is None:
        return {"status": str(Status.MISSING_OUTPUT), "v": ["" for _ in columns]}
    found: dict[str, Any] = {"status": row.status, "v": [_value(row, item) for item in columns]}
    small = view.outcomes.get(row.label)
    if small:
        found |= {"picture": Path(small.file).stem, **_own_size("size", small, view)}
    if row.output:
        found["full"] = quote(row.output.rpartition("/")[2])
    if row.why:
        found["why"] = whys.place(row.why[:300])
    return found


def _own_size(name: str, picture: Thumbnail, view: Views) -> dict[str, Any]:
    """Named only where a picture has another shape than the source."""
    width, height = view.frame
    same = abs(picture.width * height - picture.height * width) <= max(width, height)  # within a pixel
    return {} if same else {name: (picture.width, picture.height)}


def _value(row: Row, item: Column) -> float | str:
    if item.profile == TRUTH:
        return int(getattr(row.truth, item.metric)) if row.truth else ""
    cell = row.scores.get(item.profile, {}).get(item.metric, Cell(status=""))
    if cell.value is None:
        return cell.status
    return str(cell.value) if math.isinf(cell.value) else round(cell.value, item.digits + 1)


# --- what was run ----------------------------------------------------------------------------------------------------


def _run(results: Results) -> list[tuple[str, str, str]]:
    """Term, value, and what is folded away."""
    used, around = results.benchmark, results.environment
    part = f"limit {results.limit:g}" if results.limit is not None else "all of it"
    part = f"{len(results.named)} samples by name" if results.named else part
    which = f"{used.name} v{used.version}, {used.samples} samples ({part}), {used.fingerprint}"
    lines: list[tuple[str, str, object]] = [
        ("benchmark", which, used.settings),
        ("licence", used.licence, None),
        ("seed", str(results.seed), None),
        ("made", f"{results.made}, insightedit {results.insightedit}", None),
        ("environment", f"Python {around.get('python', '?')}, {around.get('platform', '?')}", around.get("packages")),
    ]
    for profile in results.profiles:
        lines.append((f"profile {profile.name}", f"v{profile.version}; {profile.source}", profile.engines))
        if profile.judge:
            judge = profile.judge.model_dump(mode="json")
            lines.append((f"judge of {profile.name}", profile.judge.model, judge))
    lines += [(f"editor {editor.label}", editor.fingerprint, editor.settings) for editor in results.editors]
    return [(term, value, _folded(more)) for term, value, more in lines if value]


def _folded(more: object) -> str:
    return json.dumps(more, indent=1, ensure_ascii=False, default=str) if more else ""
