"""InstructPix2Pix in every form that it is handed round in: the same pairs."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest

from insightedit.core.errors import InputError, Unfit
from insightedit.datasets.instruct_pix2pix import InstructPix2Pix, InstructPix2PixKnobs

os.environ["HF_HUB_OFFLINE"] = "1"
datasets = pytest.importorskip("datasets")

PROMPTS = {f"{number:07d}": [100 + number, 900_000_000 + number] for number in range(10)}


def reader(path, **knobs) -> InstructPix2Pix:
    return InstructPix2Pix(InstructPix2PixKnobs(path=path, **knobs))


def members(art):
    """(name, data) as in the authors' shards."""
    for name, seeds in PROMPTS.items():
        prompt = {"input": "a cat", "edit": f"make it {int(name)}", "output": "a dog"}
        yield f"{name}/prompt.json", json.dumps(prompt).encode()
        yield f"{name}/metadata.jsonl", b"{}"
        for seed in seeds:
            for side in (0, 1):
                yield f"{name}/{seed}_{side}.jpg", art.png(seed % 1000 * 2 + side)


def told(examples) -> dict[str, str]:
    return {one.id: one.instruction for one in examples}


@pytest.mark.parametrize("prefix", ["", "shard-00/"])
def test_zip_shards(tmp_path, art, lawful, prefix):
    parts = list(members(art))
    for number in range(2):
        with zipfile.ZipFile(tmp_path / f"shard-{number:02d}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in parts:
                if int(name[:7]) % 2 == number:
                    archive.writestr(prefix + name, data)
    examples = lawful(reader(tmp_path, index=tmp_path / "index"))
    assert told(examples) == {f"{int(n):07d}-{s}": f"make it {int(n)}" for n in list(PROMPTS)[:9] for s in PROMPTS[n]}
    one = next(one for one in examples if one.id == "0000003-103")
    assert np.array_equal(one.source, art.pixels(206)) and np.array_equal(one.target, art.pixels(207))
    (tmp_path / "seeds.json").write_text(json.dumps([[name, seeds[:1]] for name, seeds in PROMPTS.items()]))
    assert len(reader(tmp_path)) == 9 and len(reader(tmp_path, split="test")) == 1


def test_unzipped_shards(tmp_path, art, lawful):
    for name, data in members(art):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "seeds.json").write_text(json.dumps([[name, seeds] for name, seeds in PROMPTS.items()]))
    assert len(told(lawful(reader(tmp_path)))) == 18
    (tmp_path / "0000000" / "100_1.jpg").unlink()
    with pytest.raises(Unfit, match="missing_file"):
        reader(tmp_path).example(0, 0)


def test_incomplete_pairs_of_a_zip_are_counted(tmp_path, art):
    with zipfile.ZipFile(tmp_path / "shard-00.zip", "w") as archive:
        for name, data in members(art):
            if name != "0000002/102_1.jpg" and name != "0000004/prompt.json":
                archive.writestr(name, data)
    assert reader(tmp_path).left_out == {"no_picture_or_prompt": 3}


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_hugging_face_tables(tmp_path, art, lawful, form):
    rows = [
        {
            "original_prompt": "a", "original_image": {"bytes": art.png(2 * n), "path": None},
            "edit_prompt": f"make it {n}", "edited_prompt": "b",
            "edited_image": {"bytes": art.png(2 * n + 1), "path": "x.png"},
        }
        for n in range(7)
    ]  # fmt: skip
    features = datasets.Features({name: datasets.Value("string") for name in rows[0]})
    features["original_image"] = features["edited_image"] = datasets.Image()
    table = datasets.Dataset.from_list(rows, features=features)
    if form == "arrow":
        table.save_to_disk(tmp_path / "set")
    else:
        (tmp_path / "set" / "data").mkdir(parents=True)
        table.to_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    examples = lawful(reader(tmp_path / "set"))
    assert told(examples) == {str(n): f"make it {n}" for n in range(7)}
    assert np.array_equal(examples[4].target, art.pixels(9)) and np.array_equal(examples[4].source, art.pixels(8))


def test_wrong_places_name_the_layout(tmp_path):
    with pytest.raises(InputError, match=r"Expected layout: .*original_image.*shard-NN\.zip"):
        reader(tmp_path)
    (tmp_path / "seeds.json").write_text("[[1]]")
    with pytest.raises(InputError, match=r"seeds\.json"):
        reader(tmp_path)
    (tmp_path / "shard-00.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"shard-00\.zip.*not a whole zip"):
        reader(tmp_path)
