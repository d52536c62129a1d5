"""Generating: kept by content, continued after a kill, one failure never stopping the others."""

from __future__ import annotations

import json
import shutil
import signal
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from insightedit.core.errors import BackendError, ConfigError, InputError, OutputError, Unfit
from insightedit.core.files import atomic
from insightedit.core.fingerprint import digest
from insightedit.evaluate.benchmark import open_benchmark
from insightedit.evaluate.contenders import EditorContender, FolderContender, ReferenceContender
from insightedit.evaluate.generate import INDEX, generate
from insightedit.evaluate.pictures import pixels
from insightedit.evaluate.sample import shown, source_of

GOLDEN = Path(__file__).parents[1] / "golden" / "eval" / "mini_reasonedit"
IDENTITY = EditorContender("identity", "identity")


@dataclass
class Toy:
    """Inverts, and does to some samples what their instruction says."""

    label: str = "toy"
    device: str | None = None
    made: list[str] = field(default_factory=list)
    loaded: int = 0
    broken: bool = False

    def fingerprint(self) -> str:
        return digest("toy")

    def key(self, sample, seed):
        return digest("toy", sample.asked(), seed)

    def setup(self):
        self.loaded += 1
        if self.broken:
            raise InputError("no weights", "they are not there", "Fetch them")

    def outcome(self, sample, seed):
        self.made.append(sample.id)
        if sample.instruction == "fail":
            raise BackendError("out of memory", "it is full", "Use less")
        if sample.instruction == "crash":
            raise ZeroDivisionError("a bug")
        if sample.instruction == "stop":
            raise KeyboardInterrupt
        return 255 - source_of(sample)


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_each_sample_gets_its_outcome(own, tmp_path, art):
    found = generate(open_benchmark(str(own({}, {}, {}))), Toy(), tmp_path / "out")
    assert found.coverage == 1 and not found.faults
    for number, (name, outcome) in enumerate(found.outcomes.items()):
        assert name == f"s{number}" and (outcome.width, outcome.height) == (24, 16) and outcome.seconds is not None
        assert np.array_equal(pixels_of(found.folder / outcome.file), 255 - art.pixels(number))
    lines = [json.loads(line) for line in (tmp_path / "out" / INDEX).read_text().splitlines()]
    assert [(line["id"], line["status"]) for line in lines] == [("s0", "ok"), ("s1", "ok"), ("s2", "ok")]


def pixels_of(path: Path) -> np.ndarray:
    from insightedit.evaluate.pictures import FilePicture

    return pixels(FilePicture(path))


def test_what_is_made_is_not_made_again(own, tmp_path):
    first, again = Toy(), Toy()
    benchmark, out = open_benchmark(str(own({}, {}, {}))), tmp_path / "out"
    generate(benchmark, first, out)
    found = generate(benchmark, again, out)
    assert first.made == ["s0", "s1", "s2"] and not again.made and not again.loaded and found.coverage == 1
    shutil.rmtree(out / "shards")  # the pictures alone are enough
    assert generate(benchmark, again, out).coverage == 1 and not again.made and not again.loaded
    generate(benchmark, again, out, seed=1)
    assert again.made == ["s0", "s1", "s2"] and len(images(out)) == 6


def test_only_what_changed_is_made_again(own, tmp_path, art):
    root, out, toy = own({}, {}, {}), tmp_path / "out", Toy()
    generate(open_benchmark(str(root)), toy, out)
    toy.made.clear()
    art.put(root / "1.png", 99)
    generate(open_benchmark(str(root)), toy, out)
    assert toy.made == ["s1"]
    toy.made.clear()
    found = generate(open_benchmark(str(root)).named(["s2"]), toy, out)
    assert not toy.made and list(found.outcomes) == ["s2"]
    (out / found.outcomes["s2"].file).write_bytes(b"damaged")
    shutil.rmtree(out / "shards")
    assert generate(open_benchmark(str(root)), toy, out).coverage == 1 and toy.made == ["s2"]
    (out / found.outcomes["s2"].file).unlink()
    assert generate(open_benchmark(str(root)), toy, out).coverage == 1 and toy.made == ["s2", "s2"]


def test_failures_are_named_and_tried_again(own, tmp_path):
    root, toy = own({}, {"instruction": "fail"}, {"source": "none.png"}, {"instruction": "crash"}, {"id": "s0"}), Toy()
    found = generate(open_benchmark(str(root)), toy, tmp_path / "out")
    assert list(found.outcomes) == ["s0"] and found.coverage == 1 / 5
    words = {name: fault.status for name, fault in found.faults.items()}
    assert words == {"s1": "failed", "s2": "missing_source", "s3": "failed", "s0#2": "duplicate_id"}
    assert "out of memory" in found.faults["s1"].why and "a bug" in found.faults["s3"].why
    lines = [json.loads(line) for line in (tmp_path / "out" / INDEX).read_text().splitlines()]
    assert [line["status"] for line in lines] == ["ok", "failed", "missing_source", "failed", "duplicate_id"]
    toy.made.clear()
    generate(open_benchmark(str(root)), toy, tmp_path / "out")
    assert toy.made == ["s1", "s3"]


def test_without_weights_the_run_ends_at_once(own, tmp_path):
    with pytest.raises(InputError, match="no weights"):
        generate(open_benchmark(str(own({}, {}))), Toy(broken=True), tmp_path / "out")
    with pytest.raises(ConfigError, match="no editor"):
        generate(open_benchmark(str(own({}))), EditorContender("x", "identitee"), tmp_path / "out")


def test_a_stopped_run_continues(own, tmp_path):
    root = own(*[{} for _ in range(20)], {"instruction": "stop"}, {})
    toy = Toy()
    with pytest.raises(KeyboardInterrupt):
        generate(open_benchmark(str(root)), toy, tmp_path / "out")
    before = list(toy.made)
    lines = (root / "samples.jsonl").read_text().replace('"stop"', '"go on"')
    (root / "samples.jsonl").write_text(lines)
    found = generate(open_benchmark(str(root)), toy, tmp_path / "out")
    assert found.coverage == 1 and sorted(toy.made) == sorted([*before, "s20", "s21"])


@dataclass
class Slow(Toy):
    """Takes its time, so that it can be killed half way."""

    def outcome(self, sample, seed):
        time.sleep(0.02)
        return super().outcome(sample, seed)


def test_a_run_that_is_killed_twice_equals_an_unbroken_one(own, tmp_path):
    benchmark, out = open_benchmark(str(own(*[{} for _ in range(40)]))), tmp_path / "killed"
    for wanted in (3, 20):
        run = get_context("fork").Process(target=generate, args=(benchmark, Slow(), out))
        run.start()
        while len(images(out)) < wanted and run.is_alive():
            time.sleep(0.005)
        run.kill()
        run.join()
        assert run.exitcode == -signal.SIGKILL and not (out / INDEX).exists()
    there, toy = images(out), Toy()
    assert 20 <= len(there) < 40
    found, whole = generate(benchmark, toy, out), generate(benchmark, Toy(), tmp_path / "whole")
    assert images(out) == images(tmp_path / "whole") and found.coverage == 1 and len(toy.made) == 40 - len(there)
    assert {name: one.sha256 for name, one in found.outcomes.items()} == {
        name: one.sha256 for name, one in whole.outcomes.items()
    }


def test_processes_change_no_byte(own, tmp_path):
    benchmark = open_benchmark(str(own(*[{} for _ in range(5)], {"source": "none.png"})))
    for workers in (0, 2):
        generate(benchmark, IDENTITY, tmp_path / str(workers), workers=workers)
    assert len(images(tmp_path / "0")) == 5 and images(tmp_path / "0") == images(tmp_path / "2")


def test_a_full_disk_ends_the_run_and_what_is_made_stays(own, tmp_path, monkeypatch):
    def full(path):
        if len(images(tmp_path / "out")) == 2:
            raise OutputError("could not write", "no space left on device", "Free some space")
        return atomic(path)

    benchmark, toy = open_benchmark(str(own({}, {}, {}))), Toy()
    with monkeypatch.context() as patch, pytest.raises(OutputError, match="no space left"):
        patch.setattr("insightedit.evaluate.generate.atomic", full)
        generate(benchmark, toy, tmp_path / "out")
    assert len(images(tmp_path / "out")) == 2
    assert generate(benchmark, toy, tmp_path / "out").coverage == 1 and toy.made == ["s0", "s1", "s2", "s2"]


def test_a_folder_in_use_is_refused(own, tmp_path):
    benchmark = open_benchmark(str(own({})))
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"), pytest.raises(OutputError, match="is in use"):
        generate(benchmark, IDENTITY, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        generate(benchmark, IDENTITY, tmp_path / "file")


# --- contenders ------------------------------------------------------------------------------------------------------


def test_a_chain_edits_its_own_result(own, monkeypatch):
    (sample,) = open_benchmark(str(own({"turns": ["a", "b", "c"]}))).samples
    asked = []
    contender = EditorContender("identity", "identity")

    def edit(image, instruction, seed):
        asked.append((int(image[0, 0, 0]), instruction, seed))
        return np.full_like(image, len(asked))

    monkeypatch.setattr(contender.made, "edit", edit)
    assert contender.outcome(sample, 0)[0, 0, 0] == 3
    assert [words for _, words, _ in asked] == ["a", "b", "c"] and [first for first, _, _ in asked[1:]] == [1, 2]
    assert len({seed for _, _, seed in asked}) == 3


def test_a_key_follows_settings_seed_and_sample(own):
    one, two = open_benchmark(str(own({}, {}))).samples
    small = EditorContender("scenes", "scenes", {"steps": 2})
    keys = {
        small.key(one, 0), small.key(one, 1), small.key(two, 0), IDENTITY.key(one, 0),
        EditorContender("scenes", "scenes", {"steps": 3}).key(one, 0),
    }  # fmt: skip
    assert len(keys) == 5
    assert EditorContender("another row", "scenes", {"steps": 2}).key(one, 0) == small.key(one, 0)


def test_outcomes_of_the_published_script_are_found(tmp_path):
    benchmark = open_benchmark("reason-edit", GOLDEN / "ReasonEdit_benckmark_dir", partial=True)
    given = FolderContender("published", (GOLDEN / "outputs" / "Understand-15000",))
    found = generate(benchmark, given, tmp_path / "out")
    assert len(found.outcomes) == 10 and {fault.status for fault in found.faults.values()} == {"missing_output"}
    last = next(one for one in benchmark.samples if one.id == "1-Left-Right/2")
    original = GOLDEN / "outputs" / "Understand-15000" / "LeftRight_metrics_1" / "0003_T7.5_I1.5.png"
    assert np.array_equal(pixels_of(found.path(last)), pixels_of(original))
    both = FolderContender("published", tuple(sorted((GOLDEN / "outputs").iterdir())))
    assert generate(benchmark, both, tmp_path / "out").coverage == 1


def test_the_arrays_are_those_that_the_reference_scores(tmp_path):
    """Masked PSNR at 256 x 256 as the published script has it, from what is handed to the metrics."""
    expected = json.loads((GOLDEN.parent / "expected" / "mini_reasonedit.json").read_text())["scenarios"]
    tree = GOLDEN / "ReasonEdit_benckmark_dir"
    benchmark = open_benchmark("reason-edit", tree, ["pairing=position"], partial=True)
    both = FolderContender("published", tuple(sorted((GOLDEN / "outputs").iterdir())))
    found = generate(benchmark, both, tmp_path / "out")
    for scenario in benchmark.categories:
        samples = [one for one in benchmark.samples if one.category == scenario]
        for sample, numbers in zip(samples, expected[scenario]["samples"], strict=True):
            seen = shown(sample)
            weight = 1 - at_256(seen.mask, Image.Resampling.NEAREST)[..., None] / 255
            source, edited = (
                at_256(image, Image.Resampling.BICUBIC) / 255 * weight
                for image in (seen.source, pixels_of(found.path(sample)))
            )
            assert -10 * np.log10(np.mean((source - edited) ** 2)) == pytest.approx(numbers["psnr"], abs=1e-4)


def at_256(image: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((256, 256), how), np.float64)


def test_a_folder_leads_nowhere_else(own, tmp_path, art):
    art.put(tmp_path / "secret.png")
    (tmp_path / "given").mkdir()
    benchmark = open_benchmark(str(own({"id": "../secret"}, {"output": "../secret.png"}, {"id": "x" * 999}, {})))
    art.put(tmp_path / "given" / "s3.webp", 7)
    found = generate(benchmark, FolderContender("given", (tmp_path / "given",)), tmp_path / "out")
    assert list(found.outcomes) == ["s3"] and {one.status for one in found.faults.values()} == {"missing_output"}


def test_the_reference_is_the_target(own, tmp_path, art):
    root = own({"target": "t.png"}, {}, {"target": "none.png"})
    art.put(root / "t.png", 42)
    benchmark = open_benchmark(str(root))
    found = generate(benchmark, ReferenceContender(), tmp_path / "out")
    assert np.array_equal(pixels_of(found.path(benchmark.samples[0])), art.pixels(42))
    assert {name: fault.status for name, fault in found.faults.items()} == dict.fromkeys(("s1", "s2"), "missing_target")
    with pytest.raises(Unfit, match="the benchmark names none"):
        ReferenceContender().outcome(benchmark.samples[1], 0)
