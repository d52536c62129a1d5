"""The frozen plan: every photograph once, in fixed shards."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from albums import coco, frozen, image, jpeg, note, put, scan

from insightedit.construct.source.plan import SCAN_SHARD, survey


def album(tmp_path, count: int):
    for number in range(count):
        put(tmp_path / "photos" / f"{number:02d}.jpg", jpeg(number))
    return tmp_path / "photos"


def test_exact_copies_are_dropped_and_named(tmp_path):
    folder = album(tmp_path, 3)
    put(folder / "z" / "copy.jpg", jpeg(1))
    photos, (reject,) = scan(survey(folder, None), tmp_path / "work", licence="CC0")
    assert [photo.uri for photo in photos] == ["00.jpg", "01.jpg", "02.jpg"]
    assert (reject.reason, reject.uri, reject.photo_id) == ("exact_duplicate", "z/copy.jpg", photos[1].photo_id)
    assert "01.jpg" in reject.seen


@pytest.mark.parametrize(("count", "per_shard", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 16, [2])])
def test_shards_are_of_the_size_asked_for_and_in_order(tmp_path, count, per_shard, sizes):
    plan = frozen(survey(album(tmp_path, count), None), tmp_path / "work", per_shard, licence="CC0")
    shards = list(plan.shards())
    assert [len(shard.items) for shard in shards] == sizes and [shard.number for shard in shards] == list(
        range(len(sizes))
    )
    assert [item.photo.uri for shard in shards for item in shard.items] == [
        f"{number:02d}.jpg" for number in range(count)
    ]
    assert len(plan) == count


def test_freezing_twice_gives_the_same_bytes(tmp_path):
    folder = album(tmp_path, 4)
    plans = [frozen(survey(folder, None), tmp_path / name, licence="CC0").path.read_bytes() for name in ("a", "b")]
    assert plans[0] == plans[1]


def test_a_plan_of_no_photograph_is_still_a_plan(tmp_path):
    plan = frozen(survey(album(tmp_path, 2), None), tmp_path / "work")
    assert len(plan) == 0 and list(plan.shards()) == []
    assert [reject.reason for reject in plan.rejects] == ["no_licence", "no_licence"]


def test_rejects_of_listing_scanning_and_copies_are_all_kept(tmp_path):
    folder = album(tmp_path, 2)
    put(folder / "copy.jpg", jpeg(0))
    put(folder / "text.jpg", b"text")
    put(folder / "broken.tar", b"x")
    path = coco(tmp_path / "a.json", [image(1, "00.jpg"), image(2, "none.jpg")], [note(1, 1), note(2, 2), note(3, 9)])
    photos, rejects = scan(survey(folder, path), tmp_path / "work", licence="CC0")
    assert sorted(reject.reason for reject in rejects) == [
        "annotated_file_missing", "annotation_of_unknown_image", "exact_duplicate", "not_an_image", "unreadable_shard",
    ]  # fmt: skip
    assert len(photos) == 2


def test_notes_survive_the_plan(tmp_path):
    folder = album(tmp_path, 1)
    segmentation = [[10, 20, 50, 20, 50, 60.5]]
    path = coco(tmp_path / "a.json", [image(1, "00.jpg")], [note(1, 1, segmentation=segmentation)])
    listing = survey(folder, path)
    (photo,), _ = scan(listing, tmp_path / "work")
    assert photo.notes == listing.found[0].facts.notes and photo.notes[0].polygons == segmentation


def test_many_candidates_are_scanned_in_several_shards(tmp_path):
    folder = tmp_path / "photos"
    for number in range(SCAN_SHARD + 3):
        put(folder / f"{number:03d}.jpg", b"text %d" % number)
    listing = survey(folder, None)
    assert [len(shard.items) for shard in listing.scan_shards()] == [SCAN_SHARD, 3]
    _, rejects = scan(listing, tmp_path / "work", licence="CC0")
    assert [reject.uri for reject in rejects] == [item.uri for item in listing.found]


@pytest.mark.parametrize("column", ["file_name", "key", "struct"])
def test_rows_of_parquet_are_joined_to_their_annotations(tmp_path, column):
    data = jpeg(5)
    rows = {"file_name": "a.jpg"} if column == "file_name" else {"key": "a"} if column == "key" else {}
    stored = {"bytes": data, "path": "pictures/a.jpg"} if column == "struct" else data
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.Table.from_pylist([{"image": stored, **rows}]), tmp_path / "shards" / "0.parquet")
    path = coco(tmp_path / "notes.json", [image(1, "a.jpg")], [note(1, 1)])
    listing = survey(tmp_path / "shards", path)
    assert [len(found.facts.notes) for found in listing.found] == [1] and not listing.rejects
