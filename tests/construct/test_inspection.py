"""Inspection: a good dataset passes, and every promise can fail and is said to."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from published import publish_small, works
from typer.testing import CliRunner

from insightedit.construct.inspection import Inspection, inspect
from insightedit.construct.promises import PROMISES
from insightedit.construct.publish import PublishKnobs, publish
from insightedit.construct.row import ROW_SCHEMA
from insightedit.core.errors import InputError
from insightedit.core.image import decode_own, encode_jpeg
from insightedit.metrics.pixel import block_grid

Row = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("good")
    publish_small(out)
    return out


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """A copy of the good dataset without its manifest, so that only the promise under test can break."""
    shutil.copytree(good / "dataset", tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").unlink()
    return tmp_path / "copy"


def change(dataset: Path, edit: Callable[[list[Row]], Any], name: str = "train-00000-of-00001.parquet") -> None:
    """Rewrite one file with its rows changed in place."""
    path = dataset / "data" / name
    rows = pq.read_table(path).to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)


def broken(inspection: Inspection) -> list[str]:
    return [promise.name for promise in inspection.promises if not promise.holds]


def test_a_published_dataset_keeps_every_promise(good: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = inspect(good, lambda done, total: seen.append((done, total)))
    assert found.ok and broken(found) == [] and seen[-1] == (24, 24)
    assert all(promise.checked for promise in found.promises)
    assert (found.rows, found.directed_pairs, found.photos) == (24, 48, 12)
    assert found.splits == {"train": 6, "validation": 12, "test": 6} and found.licences == {"CC BY 4.0": 12}
    assert found.funnel[1].reasons == {"low_quality": 24} and found.scores[0].score == "quality"
    assert {line.method: line.kept for line in found.yields} == {"removal": 12, "recolour": 12, "transplant": 0}
    assert json.loads(found.to_json())["ok"] is True


def test_the_folder_itself_and_one_without_a_manifest_will_do(good: Path, copy: Path) -> None:
    assert inspect(good / "dataset").ok
    found = inspect(copy)
    assert found.ok and found.promises[1].note.startswith("not checked")


def test_a_plain_file_of_a_user_passes(copy: Path, tmp_path: Path) -> None:
    table = pq.read_table(copy / "data" / "train-00000-of-00001.parquet")
    wider = table.append_column("my_own", pa.array([1] * len(table)))
    at = wider.schema.get_field_index("author")
    wider = wider.set_column(at, "author", wider["author"].cast(pa.large_string()))
    (tmp_path / "user").mkdir()
    pq.write_table(wider, tmp_path / "user" / "train.parquet")
    assert inspect(tmp_path / "user").ok


def _shift_mask(row: Row) -> None:
    mask = decode_own(row["mask"]["bytes"])
    shifted = np.roll(mask, 40, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(shifted).save(buffer, "PNG")
    row["mask"]["bytes"] = buffer.getvalue()
    rows, columns = np.nonzero(shifted)
    row["bbox_xywh"] = [
        int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1,
    ]  # fmt: skip


def _repaint(row: Row, paint: Callable[[np.ndarray, np.ndarray], None]) -> None:
    pixels = decode_own(row["edited_image"]["bytes"]).copy()
    paint(pixels, decode_own(row["mask"]["bytes"]) > 0)
    row["edited_image"]["bytes"] = encode_jpeg(pixels)
    row["edited_sha256"] = hashlib.sha256(row["edited_image"]["bytes"]).hexdigest()


def _touch_outside(pixels: np.ndarray, mask: np.ndarray) -> None:
    y, x = (int(place[-1]) for place in np.nonzero(~block_grid(mask)))
    pixels[y, x] = 255 - pixels[y, x]


def _same(row: Row) -> None:
    row["edited_image"], row["edited_sha256"] = row["source_image"], row["source_sha256"]


def _cut(row: Row) -> None:
    data = row["edited_image"]["bytes"][: len(row["edited_image"]["bytes"]) // 2]
    row["edited_image"]["bytes"], row["edited_sha256"] = data, hashlib.sha256(data).hexdigest()


def _requery(row: Row, query: str) -> None:
    for sentence in row["instr_meta"]:
        sentence["query"] = query


def _blank_mask(row: Row) -> None:
    buffer = io.BytesIO()
    Image.new("L", (row["width"], row["height"])).save(buffer, "PNG")
    row["mask"]["bytes"] = buffer.getvalue()


TAMPERINGS: list[tuple[str, str, Callable[[list[Row]], Any]]] = [
    ("mask shifted", "equal outside", lambda rows: _shift_mask(rows[0])),
    ("pixel outside", "equal outside", lambda rows: _repaint(rows[0], _touch_outside)),
    ("edit that does nothing", "changed inside", lambda rows: _same(rows[0])),
    ("id twice", "ids unique", lambda rows: rows[0].update(edit_id=rows[1]["edit_id"])),
    ("id null", "ids unique", lambda rows: rows[0].update(edit_id=None)),
    ("cluster of another split", "clusters", lambda rows: rows[0].update(source_cluster="elsewhere")),
    ("split of another file", "split", lambda rows: rows[0].update(split="test")),
    ("jpeg cut", "images decode", lambda rows: _cut(rows[0])),
    ("image null", "images decode", lambda rows: rows[0].update(edited_image=None)),
    ("no image at all", "images decode", lambda rows: rows[0].update(source_image={"bytes": b"no", "path": None})),
    ("size stated wrong", "images decode", lambda rows: rows[0].update(height=1)),
    ("sha stated wrong", "images decode", lambda rows: rows[0].update(source_sha256="0" * 64)),
    ("mask empty", "mask", lambda rows: _blank_mask(rows[0])),
    ("mask null", "mask", lambda rows: rows[0].update(mask=None)),
    ("box stated wrong", "mask", lambda rows: rows[0].update(bbox_xywh=[0, 0, 1, 1])),
    ("instruction blank", "instructions", lambda rows: rows[0].update(instr_fwd_simple=[" "])),
    ("instruction null", "instructions", lambda rows: rows[0].update(instr_rev_advanced=[None])),
    ("no words", "instructions", lambda rows: rows[0].update(instr_fwd_simple=[], instr_fwd_advanced=None)),
    ("nothing kept", "instructions", lambda rows: rows[0].update(keep_fwd=False, keep_rev=None)),
    ("long-winded", "advanced short", lambda rows: rows[0].update(instr_rev_advanced=["word " * 21])),
    ("formula of another thing", "advanced unique", lambda rows: _requery(rows[0], 'name("another thing")')),
    ("formula of nonsense", "advanced unique", lambda rows: _requery(rows[0], "which(one")),
    (
        "formula of two",
        "advanced unique",
        lambda rows: _requery(rows[0], 'any(name("wine bottle"), name("cup"), name("lamp"))'),
    ),
    ("objects gone", "advanced unique", lambda rows: rows[0].update(objects=[])),
    ("licence null", "licence", lambda rows: rows[0].update(license=None)),
    ("licence empty", "licence", lambda rows: rows[0].update(license=" ")),
    ("score too high", "scores", lambda rows: rows[0].update(quality=1.2)),
    ("score no number", "scores", lambda rows: rows[0].update(seam=float("nan"))),
    ("version of tomorrow", "scores", lambda rows: rows[0].update(schema_version=9)),
]


@pytest.mark.parametrize(("promise", "tamper"), [case[1:] for case in TAMPERINGS], ids=[case[0] for case in TAMPERINGS])
def test_tampering_breaks_the_promise(promise: str, tamper: Callable[[list[Row]], Any], copy: Path) -> None:
    if promise == "clusters":
        change(copy, lambda rows: rows[0].update(source_cluster="elsewhere"), "test-00000-of-00001.parquet")
    change(copy, tamper)
    found = inspect(copy)
    assert promise in broken(found) and not found.ok
    failed = next(item for item in found.promises if item.name == promise)
    assert failed.failed >= 1 and failed.failures[0].why
    json.loads(found.to_json())


def test_every_promise_is_tried_here() -> None:
    assert set(PROMISES) == {case[1] for case in TAMPERINGS} | {"files", "manifest", "schema"}


@pytest.mark.parametrize("how", ["altered", "removed", "added", "manifest cut", "manifest a list", "path escapes"])
def test_the_manifest_notices(how: str, good: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "copy"
    shutil.copytree(good / "dataset", dataset)
    manifest = dataset / "manifest.json"
    if how == "altered":
        (dataset / "README.md").write_text("other")
    if how == "removed":
        (dataset / "rejects" / "rejects-00000.parquet").unlink()
    if how == "added":
        shutil.copy(dataset / "data" / "test-00000-of-00001.parquet", dataset / "data" / "extra.parquet")
    if how == "manifest cut":
        manifest.write_text(manifest.read_text()[:200])
    if how == "manifest a list":
        manifest.write_text("[1]")
    if how == "path escapes":
        manifest.write_text(manifest.read_text().replace("README.md", "../../etc/passwd"))
    assert "manifest" in broken(inspect(dataset))


def test_a_file_cut_short_or_missing_is_named(copy: Path) -> None:
    path = copy / "data" / "validation-00001-of-00002.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert broken(inspect(copy)) == ["files"]
    path.write_bytes(whole[:2000] + bytes(4000) + whole[6000:])  # a footer that reads, before pages that do not
    assert "files" in broken(inspect(copy)) or "images decode" in broken(inspect(copy))
    path.unlink()
    failed = inspect(copy).promises[0]
    assert not failed.holds and failed.failures[0].at == "validation-00001-of-00002.parquet"


@pytest.mark.parametrize(
    "table", [pa.table({"a": [1]}), ROW_SCHEMA.set(0, pa.field("edit_id", pa.int64())).empty_table()]
)
def test_a_foreign_schema_is_a_broken_promise(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "train.parquet")
    found = inspect(tmp_path)
    assert broken(found) == ["schema"] and found.rows == 0


def test_no_dataset_is_an_error_with_a_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(InputError) as caught:
            inspect(place)
        assert caught.value.mend


def test_a_dataset_without_rows_breaks_no_promise(tmp_path: Path) -> None:
    publish(works(2, kept=False), [], [], PublishKnobs(), tmp_path, "offline", 0)
    found = inspect(tmp_path)
    assert found.ok and found.rows == 0 and found.scores == []


def test_the_block_grid_is_rounded_out_at_odd_sizes() -> None:
    mask = np.zeros((21, 19), bool)
    mask[20, 18] = mask[8, 7] = True
    grown = block_grid(mask)
    assert grown.shape == mask.shape and grown[16:, 16:].all() and grown[8:16, :8].all() and grown.sum() == 15 + 64


def test_the_command_prints_and_its_exit_code_tells(good: Path, copy: Path) -> None:
    from insightedit.app.cli.main import app

    run = CliRunner().invoke
    said = run(app, ["inspect", str(good)])
    assert said.exit_code == 0 and "Every promise holds" in said.output
    change(copy, lambda rows: rows[0].update(license=None, object_before="[red]not markup[/]", edit_id="[bold]x"))
    said = run(app, ["inspect", str(copy), "--json"])
    assert said.exit_code == 1 and json.loads(said.output)["ok"] is False
    said = run(app, ["inspect", str(copy)])
    assert said.exit_code == 1 and "[bold]x: license is null" in said.output
