"""The command line: what it prints, what it leaves, how it fails."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from album import small_album
from PIL import Image

QUICK = ("--set", "source.min_side=100", "--set", "paint.max_edits=2", "--workers", "0")


def insightedit(*arguments: object, **how) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "insightedit.app.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **how)


def failed(answer: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert answer.returncode == code, answer.stderr
    assert "Traceback" not in answer.stderr
    for part in ("error:", "why:", "mend:", *parts):
        assert part in answer.stderr, answer.stderr


@pytest.fixture(scope="module")
def built(album, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    answer = insightedit("build", album, "--out", out, *QUICK, "--json")
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    assert report["rows"] > 0 and report["funnel"][0]["step"] == "source"
    assert answer.stderr == ""  # quiet when nobody looks
    return out


def test_help_answers_in_well_under_a_second():
    def cpu_s() -> float:  # of finished children: what a free core would take, whatever else runs
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    while len(times) < 10 and min(times, default=1) >= 0.7:  # neighbours share caches and clock: the best try counts
        before = cpu_s()
        answer = insightedit("--help")
        times.append(cpu_s() - before)
        assert answer.returncode == 0
        assert all(word in answer.stdout for word in ("build", "inspect", "edit", "convert", "demo", "Exit codes"))
    assert min(times) < 0.7, times


def test_build_and_help_need_no_torch(album):
    code = "import sys; import insightedit.app.cli.main, insightedit.construct.build; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_inspect_holds_and_speaks_json(built):
    answer = insightedit("inspect", built, "--json")
    assert answer.returncode == 0 and json.loads(answer.stdout)["ok"] is True
    text = insightedit("inspect", built)
    assert text.returncode == 0 and "Every promise holds" in text.stdout


def test_a_second_build_does_nothing_and_a_new_threshold_only_judges(built, album, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(built, out)
    shards = out / "work" / "shards" / "00000"
    before = {path.name for path in shards.iterdir()}
    assert insightedit("build", album, "--out", out, *QUICK).returncode == 0
    assert {path.name for path in shards.iterdir()} == before
    answer = insightedit("build", album, "--out", out, *QUICK, "--set", "judge.outline.removal=0.5")
    assert answer.returncode == 0, answer.stderr
    new = {path.name for path in shards.iterdir()} - before
    assert new and all(name.startswith("judge-") for name in new)


def test_the_effective_configuration_lies_beside_the_dataset(built):
    text = (built / "config.yaml").read_text()
    assert "max_edits: 2" in text and "near_duplicate_bits: 6" in text


def test_an_empty_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    failed(insightedit("build", tmp_path / "photos", "--out", tmp_path / "out"), 2, "no photographs")
    assert not (tmp_path / "out").exists()


def test_photographs_without_annotations_are_told_what_the_preset_can_do(album, tmp_path):
    shutil.copy(album / "fig.jpg", tmp_path / "fig.jpg")
    answer = insightedit("build", tmp_path, "--out", tmp_path / "out")
    failed(answer, 2, "no network that could find them", "--annotations")


def test_malformed_annotations_name_the_line(album, tmp_path):
    (tmp_path / "bad.json").write_text('{"images": [],\n "annotations": [}')
    failed(insightedit("build", album, "-a", tmp_path / "bad.json", "--out", tmp_path / "out"), 2, "line 2")


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("judge.min_changd=3", "Did you mean 'min_changed'"),
        ("paint.max_edits=many", "paint.max_edits"),
        ("seed", "key=value"),
    ],
)
def test_wrong_settings_are_refused(album, tmp_path, setting, part):
    failed(insightedit("build", album, "--out", tmp_path / "out", "--set", setting), 2, part)
    assert not (tmp_path / "out").exists()


def test_an_unknown_preset_is_refused(album, tmp_path):
    failed(insightedit("build", album, "--out", tmp_path / "out", "--preset", "ofline"), 2, "offline")


def test_another_recipes_folder_and_a_strangers_are_left_alone(built, album, tmp_path):
    answer = insightedit("build", album, "--out", built, *QUICK, "--set", "source.max_side=200")
    failed(answer, 1, "belongs to another recipe")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    failed(insightedit("build", album, "--out", tmp_path / "mine", *QUICK), 1, "holds something else")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(album, tmp_path):
    tmp_path.chmod(0o500)
    failed(insightedit("build", album, "--out", tmp_path / "out", *QUICK), 1, "could not write")


def test_an_out_below_a_file(album, tmp_path):
    (tmp_path / "file").write_text("x")
    failed(insightedit("build", album, "--out", tmp_path / "file" / "out", *QUICK), 1, "could not write")


def test_a_full_disk_loses_nothing_and_the_same_command_continues(album, tmp_path):
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # a column group with pictures is larger

    out = tmp_path / "out"
    answer = insightedit("build", album, "--out", out, *QUICK, preexec_fn=full)
    failed(answer, 1, "could not write", "the same command continues")
    assert not (out / "dataset").exists() and not list(out.rglob("*.unfinished"))
    assert insightedit("build", album, "--out", out, *QUICK).returncode == 0
    assert insightedit("inspect", out).returncode == 0


def test_one_bad_photo_never_stops_a_run(tmp_path):
    folder = small_album(tmp_path / "photos")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "half.jpg").write_bytes((folder / "fig.jpg").read_bytes()[:3000])
    Image.new("RGBA", (300, 300), (200, 10, 10, 90)).save(folder / "glass.png")
    frames = [Image.new("RGB", (300, 300), (shade, 0, 0)) for shade in (0, 90, 200)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    answer = insightedit("build", folder, "--out", tmp_path / "out", *QUICK, "--allow-unlicensed", "--json")
    assert answer.returncode == 0, answer.stderr
    reasons = json.loads(answer.stdout)["funnel"][0]["reasons"]
    assert set(reasons) == {"empty_file", "not_an_image", "truncated", "transparent", "animated"}


def test_photographs_without_a_licence_need_a_word(tmp_path):
    folder = small_album(tmp_path / "photos", ("fig.jpg",))
    notes = json.loads((folder / "annotations.json").read_text())
    del notes["licenses"]
    (folder / "annotations.json").write_text(json.dumps(notes))
    failed(insightedit("build", folder, "--out", tmp_path / "a", *QUICK), 2, "no_licence")
    said = insightedit("build", folder, "--out", tmp_path / "b", *QUICK, "--licence", "CC0 1.0")
    assert said.returncode == 0, said.stderr


def test_inspect_refuses_what_is_no_dataset(tmp_path):
    failed(insightedit("inspect", tmp_path / "nowhere"), 2)
    failed(insightedit("inspect", tmp_path), 2)


def test_two_builds_of_one_folder_do_not_meet(built, album):
    from filelock import FileLock

    with FileLock(built / "work" / "lock"):
        failed(insightedit("build", album, "--out", built, *QUICK), 1, "is in use")
