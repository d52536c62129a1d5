"""Batches: done once, redone when something changed, one failure never stopping the others."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from insightedit.core.config import Knobs
from insightedit.core.errors import BackendError, ConfigError, OutputError
from insightedit.core.image import decode_own
from insightedit.editors.batch import LEDGER, LOCK, run, save
from insightedit.editors.editor import Editor
from insightedit.editors.jobs import Job, from_folder


class CountingSettings(Knobs):
    by: int = 1


class Counting(Editor):
    """Adds a number and remembers what it was asked; fails on the word "fail"."""

    name = "counting"
    size_rule = "as it is"
    Settings = CountingSettings
    settings: CountingSettings

    def _setup(self):
        self.asked = []

    def _edit(self, image, instruction, seed):
        self.asked.append(instruction)
        if instruction == "fail":
            raise RuntimeError("it will not")
        return image + np.uint8(self.settings.by + seed)


@pytest.fixture
def folder(tmp_path, photo):
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(photo + np.uint8(number)).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def asked(folder, out, **values) -> list[str]:
    """Which outputs a run makes anew."""
    editor = Counting(**values)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    outcome = run(editor, from_folder(folder, "brighter", 0, out), out)
    assert not outcome.failed and outcome.kept == 3 - len(getattr(editor, "asked", ()))
    return [path.name for path in sorted(out.glob("*.png")) if path.stat().st_mtime_ns != before.get(path.name)]


def test_a_rerun_does_what_is_missing_or_changed_and_nothing_else(folder, tmp_path, photo):
    out = tmp_path / "out"
    assert asked(folder, out) == ["0.png", "1.png", "2.png"]
    assert np.array_equal(decode_own((out / "1.png").read_bytes()), photo + np.uint8(2))
    assert asked(folder, out) == []
    (out / "1.png").unlink()
    assert asked(folder, out) == ["1.png"]
    (out / "2.png").write_bytes(b"torn")
    assert asked(folder, out) == ["2.png"]
    Image.fromarray(255 - photo).save(folder / "0.png")
    assert asked(folder, out) == ["0.png"]
    assert asked(folder, out, by=2) == ["0.png", "1.png", "2.png"]
    lines = [json.loads(line) for line in (out / LEDGER).read_text().splitlines()]
    assert [line["output"] for line in lines] == ["0.png", "1.png", "2.png"]  # one line each, however often it was done
    assert {line["status"] for line in lines} == {"done"} and all(line["seconds"] >= 0 for line in lines)


def test_nothing_to_do_loads_no_weights(folder, tmp_path):
    jobs = from_folder(folder, "brighter", 0, tmp_path / "out")
    run(Counting(), jobs, tmp_path / "out")
    idle = Counting()
    assert run(idle, jobs, tmp_path / "out").kept == 3 and not hasattr(idle, "asked")


def test_a_bad_picture_and_a_failing_edit_are_lines_with_a_reason(folder, tmp_path):
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:200])
    (folder / "4.png").write_bytes(b"")
    jobs = from_folder(folder, "brighter", 0, tmp_path / "out")
    jobs += [replace(jobs[0], instruction="fail", output="fail.png"), Job(folder / "9.png", "brighter", 0, "9.png")]
    calls = []
    outcome = run(Counting(), jobs, tmp_path / "out", advance=lambda: calls.append(1))
    reasons = {line.output: line.reason for line in outcome.failed}
    assert set(reasons) == {"1.png", "4.png", "fail.png", "9.png"} and len(calls) == len(jobs)
    assert "truncated" in reasons["1.png"] and "empty_file" in reasons["4.png"]
    assert "it will not" in reasons["fail.png"] and "no such file" in reasons["9.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "2.png"]
    again = run(Counting(), jobs, tmp_path / "out")
    assert again.kept == 2 and len(again.failed) == 4  # failures are tried again


def test_a_picture_that_goes_bad_leaves_no_older_result(folder, tmp_path):
    jobs = from_folder(folder, "brighter", 0, tmp_path / "out")
    run(Counting(), jobs, tmp_path / "out")
    (folder / "1.png").write_bytes(b"")
    assert [line.output for line in run(Counting(), jobs, tmp_path / "out").failed] == ["1.png"]
    assert not (tmp_path / "out" / "1.png").exists()


def test_a_run_that_was_killed_continues_with_what_is_whole(folder, tmp_path):
    out = tmp_path / "out"
    jobs = from_folder(folder, "brighter", 0, out)
    run(Counting(), jobs[:2], out)
    with (out / LEDGER).open("a") as handle:
        handle.write('{"output": "2.png", "status": "do')  # as kill -9 leaves it
    editor = Counting()
    assert run(editor, jobs, out).kept == 2 and editor.asked == ["brighter"]
    assert len((out / LEDGER).read_text().splitlines()) == 3


def test_background_is_part_of_what_was_asked(folder, tmp_path):
    Image.new("RGBA", (40, 30), (200, 10, 10, 90)).save(folder / "0.png")
    jobs = from_folder(folder, "brighter", 0, tmp_path / "out")
    assert "--background" in run(Counting(), jobs, tmp_path / "out").failed[0].reason
    white = run(Counting(), jobs, tmp_path / "out", background=(255, 255, 255))
    assert not white.failed and white.kept == 0
    assert run(Counting(), jobs, tmp_path / "out", background=(255, 255, 255)).kept == 3


def test_what_concerns_all_edits_ends_the_run(folder, tmp_path):
    class Unset(Counting):
        def _setup(self):
            raise ConfigError("no weights", "none", "name some")

    with pytest.raises(ConfigError):
        run(Unset(), from_folder(folder, "brighter", 0, tmp_path / "out"), tmp_path / "out")

    class Unlucky(Counting):
        def _edit(self, image, instruction, seed):
            raise BackendError("once", "unlucky", "again")

    assert len(run(Unlucky(), from_folder(folder, "brighter", 0, tmp_path / "out"), tmp_path / "out").failed) == 3


def test_two_runs_do_not_meet_and_a_place_that_cannot_be_written_is_said(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    jobs = from_folder(folder, "brighter", 0, out)
    with FileLock(out / LOCK), pytest.raises(OutputError, match="in use"):
        run(Counting(), jobs, out)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        run(Counting(), jobs, tmp_path / "file")


def test_outputs_are_whole_files_in_the_format_of_their_name(tmp_path, photo):
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")):
        assert save(photo, tmp_path / "deep" / name) == (tmp_path / "deep" / name).stat().st_size
        with Image.open(tmp_path / "deep" / name) as image:
            assert image.format == kind and image.size == (100, 70)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - photo).mean() < 6
    with Image.open(tmp_path / "deep" / "a.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # 4:4:4
