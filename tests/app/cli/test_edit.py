"""`insightedit edit`: what it leaves, what it says, how it refuses; run in this process through `main`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
from PIL import Image

from insightedit.app.cli.main import main

TINY = ("--model", "tiny", "--steps", "2", "--device", "cpu", "--resolution", "64")


@pytest.fixture
def edit(monkeypatch, capfd):
    """Run the command -> (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["insightedit", "edit", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def photo(tmp_path) -> Path:
    rows, columns = np.mgrid[0:70, 0:100]
    pixels = np.stack([columns * 2 + rows, 255 - rows * 3, (rows * columns) // 30], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def refused(answer: tuple[int, str, str], code: int, *parts: str) -> None:
    assert answer[0] == code, answer
    lines = answer[2].strip().splitlines()
    assert len(lines) == 3 and lines[0].startswith("error: "), answer[2]
    assert all(part in answer[2] for part in parts), answer[2]


def test_the_tiny_model_edits_a_picture_and_says_it_is_untrained(edit, photo, tmp_path):
    import torch

    torch.set_num_threads(1)
    code, said, warned = edit(photo, "make it red", "-o", tmp_path / "out.png", *TINY, "--seed", 3, "--json")
    assert code == 0 and "untrained" in warned, warned
    assert json.loads(said) | {"seconds": 0} == {
        "output": str(tmp_path / "out.png"),
        "editor": "insightedit",
        "seed": 3,
        "seconds": 0,
    }
    first = pixels(tmp_path / "out.png")
    assert first.shape == (70, 100, 3) and not np.array_equal(first, pixels(photo))
    assert edit(photo, "make it red", "-o", tmp_path / "again.png", *TINY, "--seed", 3)[0] == 0
    assert np.array_equal(pixels(tmp_path / "again.png"), first)


def test_orientation_is_applied_and_a_folder_may_be_named(edit, photo, tmp_path):
    with Image.open(photo) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "out").mkdir()
    code, said, warned = edit(tmp_path / "turned.jpg", "as it is", "-o", tmp_path / "out", "-e", "identity")
    assert (code, warned) == (0, "") and "turned.png" in said
    assert pixels(tmp_path / "out" / "turned.png").shape == (100, 70, 3)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("",), ("no instruction",)),
        (("  ",), ("no instruction",)),
        ((), ("no instruction",)),
        (("word " * 10_000,), ("too long",)),
        (("red", "-e", "insightedit", "--dtype", "flaot16"), ("Did you mean 'float16'",)),
        (("red", "--editor", "insightedti"), ("Did you mean 'insightedit'",)),
        (("red", "--set", "stesp=3"), ("Did you mean 'steps'",)),
        (("red", "--set", "steps"), ("key=value",)),
        (("red", "--steps", "0"), ("steps",)),
        (("red", "--seed", "-1"), ("seed",)),
        (("red", "-e", "insightedit"), ("--model FOLDER", "--model tiny")),
        (("red", "--dtype", "float16"), ("dtype", "scenes")),
        (("red", "--model", "no/such/folder"), ("no model",)),
        (("red", "--background", "whit"), ("Did you mean 'white'",)),
        (("red", "--editor", "identity", "--steps", "3"), ("takes no settings",)),
    ],
)
def test_wrong_usage_is_refused_with_a_mend_and_no_file(edit, photo, tmp_path, arguments, parts):
    refused(edit(photo, *arguments, "-o", tmp_path / "out.png"), 2, *parts)
    assert not (tmp_path / "out.png").exists()


def test_an_output_of_another_format_or_over_its_source_is_refused(edit, photo, tmp_path):
    refused(edit(photo, "red", "-e", "identity", "-o", tmp_path / "out.gif"), 2, ".png")
    before = photo.read_bytes()
    refused(edit(photo, "red", "-e", "identity", "-o", photo), 2, "replace its source")
    refused(edit(photo, "red", "-e", "identity", "-o", tmp_path), 2, "replace its source")
    assert photo.read_bytes() == before


def bad_pictures(folder: Path) -> dict[str, str]:
    """File name -> the reason it is refused for."""
    wide = Image.new("RGB", (300, 200), (200, 120, 10))
    wide.save(folder / "whole.jpg")
    (folder / "truncated.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:500])
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    wide.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (300, 200))])
    Image.new("RGBA", (60, 40), (200, 10, 10, 90)).save(folder / "glass.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    return {
        "truncated.jpg": "truncated",
        "huge.png": "too_many_pixels",
        "dot.png": "too_small",
        "moving.gif": "animated",
        "glass.png": "--background white",
        "empty.png": "empty_file",
        "text.png": "not_an_image",
        "missing.png": "no such file",
    }


def test_bad_pictures_are_refused_by_reason_before_weights_load(edit, tmp_path):
    for name, reason in bad_pictures(tmp_path).items():
        refused(edit(tmp_path / name, "red", "-o", tmp_path / "out.png", "-m", "no/such/model"), 2, name, reason)
    assert not list(tmp_path.glob("out*"))


def test_pictures_of_other_kinds_are_taken(edit, tmp_path):
    Image.fromarray(np.full((40, 60), 30_000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("CMYK", (60, 40), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    Image.new("RGBA", (60, 40), (200, 10, 10, 255)).save(tmp_path / "opaque.png")
    Image.new("P", (60, 40), 3).save(tmp_path / "palette.png")
    Image.new("RGBA", (60, 40), (0, 0, 0, 0)).save(tmp_path / "glass.png")
    for name in ("deep.png", "ink.jpg", "opaque.png", "palette.png"):
        assert edit(tmp_path / name, "red", "-e", "identity", "-o", tmp_path / f"out-{name}")[0] == 0
        assert pixels(tmp_path / f"out-{name}").shape == (40, 60, 3)
    assert abs(int(pixels(tmp_path / "out-deep.png")[0, 0, 0]) - 117) <= 1  # 30,000 of 65,535
    laid = (tmp_path / "glass.png", "red", "-e", "identity", "--background", "#102030", "-o", tmp_path / "laid.png")
    assert edit(*laid)[0] == 0
    assert pixels(tmp_path / "laid.png")[5, 5].tolist() == [0x10, 0x20, 0x30]


def test_a_folder_is_a_batch_with_a_ledger_and_goes_on_past_failures(edit, photo, tmp_path):
    album, out = tmp_path / "album", tmp_path / "out"
    album.mkdir()
    photo.rename(album / "good.png")
    reasons = bad_pictures(album)
    code, said, warned = edit(album, "red", "-e", "identity", "-o", out, "--json")
    report = json.loads(said)
    assert (code, warned, report["edits"]) == (1, "", len(reasons) + 1)  # whole.jpg and good.png, but for missing.png
    assert {Path(one["image"]).name for one in report["failed"]} == set(reasons) - {"missing.png"}
    assert sorted(path.name for path in out.glob("*.png")) == ["good.png", "whole.png"]
    lines = [json.loads(line) for line in (out / "edits.jsonl").read_text().splitlines()]
    assert sum(line["status"] == "done" for line in lines) == 2
    for name in set(reasons) - {"missing.png"}:
        (album / name).unlink()
    code, said, _ = edit(album, "red", "-e", "identity", "-o", out)
    assert code == 0 and "2 there already" in said


def test_a_table_is_a_batch(edit, photo, tmp_path):
    rows = "image,instruction,seed,output\nphoto.png,make it red,1,red.jpg\nphoto.png,make it blue,,\n"
    (tmp_path / "edits.csv").write_text(rows)
    out = tmp_path / "out"
    code, said, _ = edit(tmp_path / "edits.csv", "-e", "identity", "-o", out, "--json")
    assert code == 0 and json.loads(said)["edits"] == 2
    assert (out / "red.jpg").exists() and len(list(out.glob("photo-*.png"))) == 1
    both = edit(tmp_path / "edits.csv", "another", "-e", "identity", "-o", out)
    refused(both, 2, "has its own instructions")
    refused(edit(tmp_path / "edits.csv", "-e", "identity", "-o", tmp_path / "one.png"), 2, "no folder")


def test_ones_own_program_is_an_editor(edit, photo, tmp_path):
    (tmp_path / "mine.py").write_text("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[3])")
    command = f"command={sys.executable} {tmp_path / 'mine.py'} {{source}} {{instruction}} {{output}}"
    assert edit(photo, "red; rm -rf /", "-e", "command", "--set", command, "-o", tmp_path / "out.png")[0] == 0
    assert np.array_equal(pixels(tmp_path / "out.png"), pixels(photo))
    (tmp_path / "mine.py").write_text("import sys; sys.exit('out of paint')")
    refused(edit(photo, "red", "-e", "command", "--set", command, "-o", tmp_path / "two.png"), 1, "out of paint")
    assert not (tmp_path / "two.png").exists()


def test_the_command_line_needs_no_torch_until_an_editor_does(photo, tmp_path):
    code = (
        "import sys; import insightedit.app.cli.main as cli; "
        f"sys.argv = ['x', 'edit', {str(photo)!r}, 'red', '-e', 'identity', '-o', {str(tmp_path / 'out.png')!r}]\n"
        "try: cli.main()\nexcept SystemExit as left: print(left.code, 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1].split() in (["0", "False"], ["None", "False"]), answer.stderr


def test_where_torch_is_absent_the_mend_names_the_install(photo, tmp_path):
    code = (
        "import importlib.util as util, sys; real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('torch', 'diffusers') else real(name, *rest)\n"
        "import insightedit.app.cli.main as cli; "
        f"sys.argv = ['x', 'edit', {str(photo)!r}, 'red', '-m', 'tiny', '-o', {str(tmp_path / 'out.png')!r}]\n"
        "cli.main()"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 1 and "pip install 'insightedit[models]'" in answer.stderr, answer.stderr
