"""CC12M: captions of a TSV, and img2dataset's shards with pictures."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets import cc12m
from insightedit.datasets.cc12m import CC12M, CC12MKnobs


def lines(count: int) -> list[str]:
    return [f"https://x.org/{number}.jpg\tA <PERSON> with {number} cafés" for number in range(count)]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_every_line_by_number(tmp_path, monkeypatch, count, end, chunk):
    monkeypatch.setattr(cc12m, "CHUNK", chunk)
    path = tmp_path / "cc12m.tsv"
    path.write_bytes(("\n".join(lines(count)) + end).encode())
    reader = CC12M(CC12MKnobs(path=path))
    assert len(reader) == count
    assert [reader.example(n, 0).text for n in range(count)] == [f"A <PERSON> with {n} cafés" for n in range(count)]
    with pytest.raises(IndexError):
        reader.example(count, 0)


def test_a_tsv_is_lawful_and_captions_can_be_cut(tmp_path, lawful):
    path = tmp_path / "cc12m.tsv"
    path.write_text("\n".join(lines(100)))
    assert lawful(CC12M(CC12MKnobs(path=path)))[3].id == "cc12m-3"
    assert CC12M(CC12MKnobs(path=path, max_words=3)).example(3, 0).text == "A <PERSON> with"


def test_bad_lines_are_unfit_and_a_wrong_file_is_refused(tmp_path):
    path = tmp_path / "cc12m.tsv"
    path.write_text("u\tone\nno tab here\nu\t  \n")
    reader = CC12M(CC12MKnobs(path=path))
    for number, reason in ((1, "malformed_line"), (2, "no_instruction")):
        with pytest.raises(Unfit, match=reason):
            reader.example(number, 0)
    for text in ("", "no tab\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"Expected layout: cc12m\.tsv"):
            CC12M(CC12MKnobs(path=path))
    with pytest.raises(InputError, match="no such file"):
        CC12M(CC12MKnobs(path=tmp_path / "none.tsv"))


def shard(path, art, numbers, *, captions=True) -> None:
    """As img2dataset writes it: KEY.jpg, KEY.txt, KEY.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            meta = json.dumps({"key": f"{number:09d}", "url": "u"}).encode()
            parts = {"jpg": art.png(number), "json": meta}
            if captions:
                parts["txt"] = f"caption {number}".encode()
            for suffix, data in parts.items():
                info = tarfile.TarInfo(f"{number:09d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def test_shards_with_pictures(tmp_path, art, lawful):
    shard(tmp_path / "cc" / "00000.tar", art, range(4))
    shard(tmp_path / "cc" / "00001.tar", art, range(10000, 10003))
    examples = lawful(CC12M(CC12MKnobs(path=tmp_path / "cc", index=tmp_path / "index")))
    assert [one.text for one in examples] == [f"caption {n}" for n in (0, 1, 2, 3, 10000, 10001, 10002)]
    assert all(np.array_equal(one.image, art.pixels(int(one.text.split()[1]))) for one in examples)
    assert len({one.id for one in examples}) == 7
    again = CC12M(CC12MKnobs(path=tmp_path / "cc", index=tmp_path / "index", images=False))
    assert again.example(5, 0).text == "caption 10001" and again.example(5, 0).image is None
    assert len(list((tmp_path / "index").iterdir())) == 1


def test_what_lacks_a_caption_and_a_cut_shard_are_counted(tmp_path, art):
    shard(tmp_path / "00000.tar", art, range(3))
    shard(tmp_path / "00001.tar", art, range(3, 5), captions=False)
    shard(tmp_path / "00002.tar", art, range(5, 9))
    cut = tmp_path / "00002.tar"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    reader = CC12M(CC12MKnobs(path=tmp_path))
    assert reader.left_out["no_caption"] >= 2 and reader.left_out["cut_off_shard"] == 1
    assert 3 <= len(reader) < 7
    for number in range(len(reader)):
        reader.example(number, 0)


def test_a_folder_without_samples_is_refused(tmp_path, art):
    with pytest.raises(InputError, match=r"no file there matches \*\.tar"):
        CC12M(CC12MKnobs(path=tmp_path))
    shard(tmp_path / "00000.tar", art, range(2), captions=False)
    with pytest.raises(InputError, match="no tar there"):
        CC12M(CC12MKnobs(path=tmp_path))
