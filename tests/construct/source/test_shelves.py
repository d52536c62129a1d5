"""Listing folders, tars and parquet files as other tools write them."""

from __future__ import annotations

import contextlib
import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from albums import jpeg, put, taken, tar

from insightedit.construct.source.found import read_bytes, split_uri
from insightedit.construct.source.plan import survey
from insightedit.construct.source.shelves import list_photos
from insightedit.core.errors import InputError, Unfit
from insightedit.core.record import Reject

MANY = 10_000_000


def listed(path) -> list:
    return list(list_photos(path)[1])


def uris(path) -> list[str]:
    return [entry.uri for entry in listed(path)]


# --- folders --------------------------------------------------------------------------------------------------------


def test_folders_are_walked_in_a_fixed_order_without_what_is_hidden(tmp_path):
    for name in (
        "z.jpg",
        "a.PNG",
        "b/y.jpeg",
        "b/a/x.webp",
        "a/w.tif",
        ".hidden.jpg",
        ".git/v.jpg",
        "notes.txt",
        "c.gif",
    ):
        put(tmp_path / name, b"x")
    assert uris(tmp_path) == ["a.PNG", "c.gif", "z.jpg", "a/w.tif", "b/y.jpeg", "b/a/x.webp"]
    assert uris(tmp_path) == uris(tmp_path)


def test_one_photograph_may_be_given_by_itself(tmp_path):
    path = put(tmp_path / "deep" / "a.jpg", jpeg())
    root, entries = list_photos(path)
    assert root == path.parent and [entry.uri for entry in entries] == ["a.jpg"]


def test_nothing_to_read_is_an_input_error_that_says_why(tmp_path):
    with pytest.raises(InputError, match="the path does not exist"):
        survey(tmp_path / "none", None)
    put(tmp_path / "notes.txt", b"x")
    with pytest.raises(InputError, match="no photographs in"):
        survey(tmp_path, None)
    put(tmp_path / "broken.tar", b"not a tar")
    with pytest.raises(InputError, match=r"unreadable_shard in broken\.tar"):
        survey(tmp_path, None)


@pytest.mark.parametrize(
    "name", ["a#1.jpg", "b c.jpg", "ü.jpg", "x.tar.jpg", "50%.jpg", "a@3:4.jpg", "s#et/p.jpg", "a:b.jpg"]
)
def test_any_file_name_can_be_read_again(tmp_path, name):
    put(tmp_path / name, jpeg())
    (uri,) = uris(tmp_path)
    assert read_bytes(tmp_path, uri, MANY) == jpeg()


def test_a_name_that_is_not_utf8_is_rejected_and_does_not_stop_a_run(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    put(tmp_path / os.fsdecode(b"caf\xe9.jpg"), jpeg(1))
    photos, rejects = taken(tmp_path, tmp_path / ".work")
    assert [photo.uri for photo in photos] == ["a.jpg"]
    assert [reject.reason for reject in rejects] == ["name_not_utf8"]


def test_links_out_of_the_folder_and_dangling_ones_are_rejected(tmp_path):
    put(tmp_path / "outside.jpg", jpeg())
    put(tmp_path / "in" / "a.jpg", jpeg(1))
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    (tmp_path / "in" / "dangling.jpg").symlink_to(tmp_path / "none.jpg")
    photos, rejects = taken(tmp_path / "in", tmp_path / "work")
    assert [photo.uri for photo in photos] == ["a.jpg"]
    assert {reject.uri: reject.reason for reject in rejects} == {
        "link.jpg": "outside_root", "dangling.jpg": "unreadable",
    }  # fmt: skip


def test_reading_says_what_is_wrong(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    for uri, limit, reason in (
        ("none.jpg", MANY, "missing_file"), ("../a.jpg", MANY, "outside_root"), ("/etc/passwd", MANY, "outside_root"),
        ("a.jpg", 10, "too_many_bytes"), ("none.tar#a.jpg@0:5", MANY, "missing_file"),
        ("none.parquet#0:0:jpg", MANY, "missing_file"),
    ):  # fmt: skip
        with pytest.raises(Unfit) as caught:
            read_bytes(tmp_path, uri, limit)
        assert caught.value.reason == reason, uri


def test_a_uri_falls_into_file_and_member():
    assert split_uri("a/b.tar#c#d@5:6") == ("a/b.tar", "c#d@5:6")
    assert split_uri("a#b/c.PARQUET#0:1:jpg") == ("a#b/c.PARQUET", "0:1:jpg")
    assert split_uri("a#b.jpg") == ("a#b.jpg", "")


# --- webdataset tars ------------------------------------------------------------------------------------------------


def img2dataset_sample(number: int) -> dict[str, bytes]:
    key = f"{number:09d}"
    facts = {
        "caption": f"picture {number}", "url": f"https://example.org/{number}.jpg", "key": key, "status": "success",
        "error_message": None, "width": 260, "height": 220, "original_width": 520, "original_height": 440, "exif": "{}",
        "sha256": "0" * 64, "license": "CC BY 2.0", "author": " Ann \n Lee ", "NSFW": float("nan"),
    }  # fmt: skip
    return {f"{key}.jpg": jpeg(number), f"{key}.txt": b"a text", f"{key}.json": json.dumps(facts).encode()}


def test_a_tar_as_img2dataset_writes_it_is_read_with_its_facts(tmp_path):
    members = {name: data for number in range(3) for name, data in img2dataset_sample(number).items()}
    tar(tmp_path / "00000.tar", members)
    pq.write_table(pa.table({"key": ["0"]}), tmp_path / "00000.parquet")  # its metadata, not a shard of its own
    put(tmp_path / "00000_stats.json", b"{}")
    entries = listed(tmp_path)
    assert [read_bytes(tmp_path, entry.uri, MANY) for entry in entries] == [jpeg(0), jpeg(1), jpeg(2)]
    assert [entry.bytes for entry in entries] == [len(jpeg(number)) for number in range(3)]
    facts = entries[1].facts
    assert (facts.caption, facts.licence, facts.author) == ("picture 1", "CC BY 2.0", "Ann Lee")
    assert facts.source_url == "https://example.org/1.jpg"


def test_a_caption_may_stand_in_a_text_file_and_a_sidecar_may_be_nonsense(tmp_path):
    tar(
        tmp_path / "s.tar",
        {"a.txt": b"said \xff here", "a.jpg": jpeg(), "b.jpg": jpeg(1), "b.json": b"{", "c.txt": b"x"},
    )
    first, second = listed(tmp_path / "s.tar")
    assert first.facts.caption == "said � here" and second.facts.caption == ""


def test_a_licence_that_is_missing_as_nan_is_no_licence(tmp_path):
    tar(tmp_path / "s.tar", {"a.jpg": jpeg(), "a.json": b'{"license": NaN, "author": null, "caption": 7}'})
    photos, rejects = taken(tmp_path, tmp_path / ".work", licence="")
    assert photos == [] and [reject.reason for reject in rejects] == ["no_licence"]


def test_a_file_name_in_a_folder_of_the_tar_makes_its_own_sample(tmp_path):
    tar(
        tmp_path / "s.tar",
        {"x/a.jpg": jpeg(), "x/a.txt": b"one", "y/a.jpg": jpeg(1), "y/a.txt": b"two", "y/a.mask.png": b"m"},
    )
    assert [entry.facts.caption for entry in listed(tmp_path / "s.tar")] == ["one", "two"]


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_tar_cut_short_is_rejected_and_the_run_goes_on(tmp_path, part):
    whole = tar(tmp_path / "s.tar", {f"{number}.jpg": jpeg(number) for number in range(6)}).read_bytes()
    put(tmp_path / "s.tar", whole[: int(len(whole) * part)])
    put(tmp_path / "z.jpg", jpeg(9))
    photos, rejects = taken(tmp_path, tmp_path / ".work")
    assert photos[-1].uri == "z.jpg" and len(photos) <= 1 + 6 * part
    assert "unreadable_shard" in {reject.reason for reject in rejects}
    assert {reject.reason for reject in rejects} <= {"unreadable_shard", "truncated", "not_an_image"}


def test_a_compressed_tar_is_rejected_with_a_hint(tmp_path):
    import gzip

    put(tmp_path / "s.tar", gzip.compress(tar(tmp_path / "t.tar", {"a.jpg": jpeg()}).read_bytes()))
    (tmp_path / "t.tar").unlink()
    (reject,) = listed(tmp_path)
    assert reject.reason == "unreadable_shard" and reject.wanted == "an uncompressed tar"


# --- parquet --------------------------------------------------------------------------------------------------------


def parquet(path, columns: dict, **how):
    pq.write_table(pa.table(columns), path, **how)
    return path


def test_a_parquet_file_as_img2dataset_writes_it_is_read_with_its_facts(tmp_path):
    columns = {
        "key": [f"{number:09d}" for number in range(5)], "caption": [f"picture {number}" for number in range(5)],
        "license": ["CC0"] * 4 + [None], "width": [260] * 5, "jpg": [jpeg(number) for number in range(5)],
    }  # fmt: skip
    path = parquet(tmp_path / "00000.parquet", columns, row_group_size=2)
    entries = listed(path)
    assert [read_bytes(tmp_path, entry.uri, MANY) for entry in entries] == columns["jpg"]
    assert [entry.facts.licence for entry in entries] == ["CC0"] * 4 + [""]
    assert entries[3].facts.caption == "picture 3"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_parquet_file_as_datasets_writes_it_is_read_with_its_facts(tmp_path, kind):
    columns = {
        "image": [{"bytes": jpeg(0), "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None],
        "text": pa.array(["one", "two", "three"]), "license": pa.array(["CC0"] * 3).cast(kind), "label": [1, 2, 3],
    }  # fmt: skip
    parquet(tmp_path / "train.PARQUET", columns)
    photos, rejects = taken(tmp_path, tmp_path / ".work", licence="")
    assert [(photo.caption, photo.licence) for photo in photos] == [("one", "CC0")]
    assert [reject.reason for reject in rejects] == ["missing_file", "missing_file"]


def test_a_file_that_datasets_itself_wrote_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    made = datasets.Dataset.from_dict(
        {"image": [Image.open(io.BytesIO(jpeg(number))) for number in range(2)], "license": ["CC0", "CC BY 4.0"]},
        features=datasets.Features({"image": datasets.Image(), "license": datasets.Value("string")}),
    )
    made.to_parquet(tmp_path / "train.parquet")
    photos, rejects = taken(tmp_path, tmp_path / ".work", licence="")
    assert [photo.licence for photo in photos] == ["CC0", "CC BY 4.0"] and rejects == []


def test_a_table_without_images_is_rejected_by_its_columns(tmp_path):
    (reject,) = listed(parquet(tmp_path / "t.parquet", {"image": ["a.jpg"], "n": [1]}))
    assert reject.reason == "no_image_column" and reject.seen == "image, n"


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_parquet_file_cut_short_is_rejected_and_the_run_goes_on(tmp_path, part):
    whole = parquet(tmp_path / "s.parquet", {"jpg": [jpeg(number) for number in range(4)]}).read_bytes()
    put(tmp_path / "s.parquet", whole[: int(len(whole) * part)])
    put(tmp_path / "z.jpg", jpeg(9))
    photos, rejects = taken(tmp_path, tmp_path / ".work")
    assert [photo.uri for photo in photos] == ["z.jpg"]
    assert [reject.reason for reject in rejects] == ["unreadable_shard"]


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_damaged_shards_give_candidates_and_rejects_and_nothing_else(tmp_path, kind):
    shard = tmp_path / f"s.{kind}"
    if kind == "tar":
        tar(shard, {"a.jpg": b"x" * 700, "a.json": b'{"caption": "c"}', "b.jpg": b"y" * 600, "b.txt": b"t"})
    else:
        parquet(shard, {"jpg": [b"x" * 700, b"y"], "license": ["CC0", "a" * 50], "caption": ["c", None]})
    whole, rng = shard.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), int(rng.choice([1, 3, 30]))):
            damaged[at] = int(rng.integers(256))
        shard.write_bytes(damaged)
        for entry in listed(shard):
            if not isinstance(entry, Reject):
                with contextlib.suppress(Unfit):
                    read_bytes(tmp_path, entry.uri, MANY)
