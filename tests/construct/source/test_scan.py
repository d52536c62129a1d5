"""Opening photographs once: what is taken, what is refused, what is the same."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from albums import EXAMPLES, coco, image, jpeg, note, picture, put, taken
from PIL import Image

from insightedit.construct.source.plan import survey
from insightedit.construct.source.scan import SourceKnobs, clusters, open_photo, perceptual_hash
from insightedit.core.errors import Unfit


def reasons(rejects) -> dict[str, str]:
    return {reject.uri: reject.reason for reject in rejects}


def test_a_folder_of_all_sorts_gives_its_photographs_and_one_reason_for_every_other_file(tmp_path):
    put(tmp_path / "good.jpg", jpeg())
    png = io.BytesIO()
    picture(1).save(png, "PNG")
    put(tmp_path / "really_png.jpg", png.getvalue())
    put(tmp_path / "cut.jpg", jpeg(2)[:900])
    put(tmp_path / "text.jpg", b"hello, not a photograph")
    put(tmp_path / "empty.jpg", b"")
    put(tmp_path / "small.jpg", jpeg(3, 90, 90))
    glass = io.BytesIO()
    Image.new("RGBA", (300, 300), (255, 0, 0, 90)).save(glass, "PNG")
    put(tmp_path / "glass.png", glass.getvalue())
    moving = io.BytesIO()
    picture(4).save(moving, "GIF", save_all=True, append_images=[picture(5)])
    put(tmp_path / "moving.gif", moving.getvalue())
    photos, rejects = taken(tmp_path, tmp_path / ".work")
    assert [photo.uri for photo in photos] == ["good.jpg", "really_png.jpg"]
    assert reasons(rejects) == {
        "cut.jpg": "truncated", "text.jpg": "not_an_image", "empty.jpg": "empty_file", "small.jpg": "too_small",
        "glass.png": "transparent", "moving.gif": "animated",
    }  # fmt: skip


def test_a_photograph_without_licence_is_left_out_unless_that_is_allowed(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    photos, rejects = taken(tmp_path, tmp_path / ".1", licence="")
    assert photos == [] and reasons(rejects) == {"a.jpg": "no_licence"}
    (photo,), _ = taken(tmp_path, tmp_path / ".2", licence="", allow_unlicensed=True)
    assert photo.licence == "unstated"
    (photo,), _ = taken(tmp_path, tmp_path / ".3", licence="CC0", author="me")
    assert (photo.licence, photo.author) == ("CC0", "me")


def test_what_a_photograph_says_itself_goes_before_what_is_said_of_all(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    path = coco(tmp_path / "a.json", [image(1, "a.jpg", author="Ann")], [note(1, 1)])
    (photo,), _ = taken(tmp_path, tmp_path / ".work", path, licence="CC0", author="me")
    assert (photo.licence, photo.author) == ("CC BY 4.0", "Ann")


def test_a_large_photograph_is_worked_on_reduced_and_remembers_its_size(tmp_path):
    put(tmp_path / "a.jpg", jpeg(0, 900, 600))
    (photo,), _ = taken(tmp_path, tmp_path / ".work", max_side=300)
    assert (photo.width, photo.height, photo.orig_width, photo.orig_height) == (300, 200, 900, 600)
    assert open_photo(tmp_path, photo, SourceKnobs(max_side=300)).shape == (200, 300, 3)


def test_a_turned_photograph_goes_with_annotations_of_the_upright_frame(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    put(tmp_path / "a.jpg", jpeg(0, 300, 220, exif=exif))  # lies on its side: 220 x 300 when upright
    upright = coco(tmp_path / "u.json", [image(1, "a.jpg", width=220, height=300)], [note(1, 1)])
    lying = coco(tmp_path / "l.json", [image(1, "a.jpg", width=300, height=220)], [note(1, 1)])
    (photo,), _ = taken(tmp_path, tmp_path / ".1", upright)
    assert (photo.width, photo.height, photo.note_width, photo.note_height) == (220, 300, 220, 300)
    photos, (reject,) = taken(tmp_path, tmp_path / ".2", lying)
    assert photos == [] and reject.reason == "annotation_size_mismatch" and "300 x 220" in reject.seen


@pytest.mark.parametrize(
    ("width", "height", "fits"), [(260, 220, True), (520, 440, True), (131, 110, True), (260, 200, False)]
)
def test_annotations_may_be_scaled_but_not_stretched(tmp_path, width, height, fits):
    put(tmp_path / "a.jpg", jpeg())
    path = coco(tmp_path / "a.json", [image(1, "a.jpg", width=width, height=height)], [note(1, 1)])
    photos, rejects = taken(tmp_path, tmp_path / ".work", path)
    assert bool(photos) == fits and (fits or rejects[0].reason == "annotation_size_mismatch")


def test_annotations_without_a_size_are_of_the_photograph_as_it_is(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    path = coco(tmp_path / "a.json", [{"id": 1, "file_name": "a.jpg"}], [note(1, 1)])
    (photo,), _ = taken(tmp_path, tmp_path / ".work", path, max_side=200)
    assert (photo.note_width, photo.note_height, photo.width) == (260, 220, 200)


def test_a_file_that_changed_since_the_scan_is_refused(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    (photo,), _ = taken(tmp_path, tmp_path / ".work")
    put(tmp_path / "a.jpg", jpeg(1))
    with pytest.raises(Unfit) as caught:
        open_photo(tmp_path, photo, SourceKnobs())
    assert caught.value.reason == "changed_since_scan"
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(Unfit) as caught:
        open_photo(tmp_path, photo, SourceKnobs())
    assert caught.value.reason == "missing_file"


# --- near duplicates ------------------------------------------------------------------------------------------------


def by_brute_force(ids: list[str], hashes: np.ndarray, bits: int) -> list[str]:
    groups = [{index} for index in range(len(ids))]
    for a, b in itertools.combinations(range(len(ids)), 2):
        if bin(int(hashes[a]) ^ int(hashes[b])).count("1") <= bits and groups[a] is not groups[b]:
            groups[a] |= groups[b]
            for index in groups[a]:
                groups[index] = groups[a]
    return [min(ids[index] for index in group) for group in groups]


@pytest.mark.parametrize("bits", [0, 1, 6, 13, 63])
def test_clusters_equal_those_of_comparing_every_pair(bits):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        hashes = rng.integers(0, 2**64, 12, dtype=np.uint64)
        for _ in range(28):  # near copies of what is there, chains included
            flips = rng.choice(64, int(rng.integers(0, 9)), replace=False)
            change = np.bitwise_xor.reduce(np.uint64(1) << flips.astype(np.uint64)) if len(flips) else np.uint64(0)
            hashes = np.append(hashes, hashes[rng.integers(len(hashes))] ^ change)
        ids = [f"{number:04x}" for number in rng.permutation(len(hashes))]
        assert clusters(ids, hashes, bits) == by_brute_force(ids, hashes, bits), f"seed {seed}"


def test_no_photograph_and_one_photograph_are_clusters_too():
    assert clusters([], np.array([], np.uint64), 6) == []
    assert clusters(["a"], np.array([2**64 - 1], np.uint64), 6) == ["a"]
    assert clusters(["b", "a"], np.array([2**64 - 1] * 2, np.uint64), 6) == ["a", "a"]


def test_resized_and_recompressed_copies_share_a_cluster_and_different_photographs_do_not(tmp_path):
    names = ["coffee", "chelsea", "rocket", "astronaut", "flower", "china"]
    for name in names:
        with Image.open(EXAMPLES / f"{name}.jpg") as photo:
            photo.thumbnail((500, 500))
            photo.save(tmp_path / f"{name}.jpg", quality=92)
            smaller = photo.resize((photo.width * 7 // 10, photo.height * 7 // 10), Image.Resampling.LANCZOS)
            smaller.save(tmp_path / f"{name}_copy.jpg", quality=60)
    photos, _ = taken(tmp_path, tmp_path / ".work", min_side=150)
    cluster = {photo.uri.removesuffix(".jpg"): photo.cluster for photo in photos}
    assert len(cluster) == 12
    assert len({cluster[name] for name in names}) == len(names)
    assert all(cluster[name] == cluster[f"{name}_copy"] for name in names)
    assert all(photo.cluster <= photo.photo_id for photo in photos)


def test_all_example_photographs_look_different():
    hashes = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        with Image.open(path) as photo:
            photo.draft("RGB", (256, 256))
            hashes.append(perceptual_hash(np.asarray(photo.convert("RGB"))))
    ids = [f"{number:02d}" for number in range(len(hashes))]
    assert clusters(ids, np.array(hashes, np.uint64), SourceKnobs().near_duplicate_bits) == ids


def test_the_listing_knows_when_something_about_it_changed(tmp_path):
    put(tmp_path / "a.jpg", jpeg())
    first = survey(tmp_path, None).mark
    assert survey(tmp_path, None).mark == first
    put(tmp_path / "b.jpg", jpeg(1))
    second = survey(tmp_path, None).mark
    third = survey(tmp_path, coco(tmp_path / "a.json", [image(1, "a.jpg")], [note(1, 1)])).mark
    assert len({first, second, third}) == 3
