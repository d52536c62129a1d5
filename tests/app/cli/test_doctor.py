"""`insightedit doctor`: run as people run it, over caches, endpoints and broken libraries that the test makes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from chat_server import ChatServer
from rich.console import Console

from insightedit.app.cli.doctor import _presets, _table
from insightedit.app.cli.main import main
from insightedit.app.doctor import EXTRAS, VARIABLES, Endpoint, Package, Site, ask_all, key_of, requirements
from insightedit.app.needs import Disk, Needs, Presets, Weights
from insightedit.backends.chat.settings import ChatKnobs
from insightedit.backends.paint.table import PAINTERS
from insightedit.backends.paint.table import make as make_painter
from insightedit.backends.pair.prompt_to_prompt import PromptToPromptKnobs
from insightedit.backends.segment.grounded import GroundedSamKnobs
from insightedit.backends.segment.sam3 import Sam3Knobs
from insightedit.construct.describe_mllm import MllmKnobs
from insightedit.construct.judge_vie import ResidueKnobs
from insightedit.construct.paint import PaintKnobs
from insightedit.construct.recipe import Recipe
from insightedit.construct.segment import SegmentKnobs
from insightedit.core.config import Knobs, load, preset_path
from insightedit.core.errors import ConfigError
from insightedit.editors.table import EDITORS
from insightedit.editors.table import make as make_editor
from insightedit.metrics.clip import ClipKnobs

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIX2PIX = "timbrooks/instruct-pix2pix"
PARTS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
KEY = "sk-never-shown-4711"
GPU = """
from types import SimpleNamespace as Of
about = Of(name="Some GPU", total_memory=80 * 10**9)
cuda = Of(device_count=lambda: 1, get_device_properties=lambda index: about)
backends = Of(mps=Of(is_available=lambda: False))
"""  # all that the command asks of torch


def snapshot(home: Path, name: str, *files: str) -> Path:
    """What huggingface_hub leaves of a download: blobs, links to them, and which commit main is."""
    repo = home / "hub" / f"models--{name.replace('/', '--')}"
    folder = repo / "snapshots" / COMMIT
    for number, file in enumerate(files):
        blob = repo / "blobs" / f"blob{number}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(b"weights")
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).symlink_to(os.path.relpath(blob, (folder / file).parent))
    (repo / "refs").mkdir(parents=True, exist_ok=True)
    (repo / "refs" / "main").write_text(COMMIT)
    return folder


def package(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)


@pytest.fixture
def doctor(tmp_path):
    """Run the command in a process of its own -> (exit code, stdout, stderr)."""

    def call(*arguments: str, **variables: str) -> tuple[int, str, str]:
        secret = ("OPENAI_API_KEY", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("INSIGHTEDIT_")}
        kept = {key: value for key, value in kept.items() if key not in secret}
        path = os.pathsep.join([str(tmp_path / "fakes"), str(Path(__file__).parents[3] / "src")])
        kept |= {"HF_HOME": str(tmp_path / "home"), "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
        line = [sys.executable, "-m", "insightedit", "doctor", *arguments]
        done = subprocess.run(line, env=kept, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    import huggingface_hub

    (tmp_path / "home" / "hub").mkdir(parents=True)
    real = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: real(tmp_path / "home" / "hub"))
    return Disk()


def test_a_broken_torchvision_stops_every_network_although_the_weights_are_there(doctor, tmp_path):
    package(tmp_path / "fakes", "torchvision", "raise RuntimeError('operator torchvision::nms does not exist')")
    folder = snapshot(tmp_path / "home", PIX2PIX, *(f"{part}.safetensors" for part in PARTS))
    code, said, _ = doctor("instruct_pix2pix", "offline", "--json")
    report = json.loads(said)
    ready = {one["name"]: one["ready"] for one in report["presets"]}
    assert (code, ready) == (1, {"instruct_pix2pix": False, "offline": True})
    (lack,) = report["presets"][0]["lacks"]
    assert "nms" in lack["what"] and lack["mend"].startswith("pip uninstall torchvision")
    found = {one["name"]: one for one in report["weights"]}[PIX2PIX]
    assert (found["state"], found["folder"]) == ("present", str(folder))
    assert report["devices"][0]["name"] == "cpu" and report["devices"][0]["memory_bytes"] > 0


def test_with_weights_a_device_and_sound_libraries_an_editor_can_run(doctor, tmp_path):
    package(tmp_path / "fakes", "torchvision", "")
    package(tmp_path / "fakes", "torch", GPU)
    snapshot(tmp_path / "home", PIX2PIX, *(f"{part}.safetensors" for part in PARTS))
    code, said, warned = doctor("instruct_pix2pix")
    assert code == 0, said + warned
    lines = [line.split() for line in said.splitlines()]
    assert ["presets", "instruct_pix2pix", "ready"] in lines and ["installed", "torchvision", "ok"] in lines
    assert ["installed", "cuda:0", "80.0", "GB", "Some", "GPU"] in lines
    assert [line[:3] for line in lines if line[0] == "weights"] == [["weights", PIX2PIX, "present"]]
    assert "\x1b" not in said, "colours are for terminals"


def test_without_torch_the_base_runs_and_endpoints_are_asked_without_showing_the_key(doctor, tmp_path):
    package(tmp_path / "fakes", "torch", "raise OSError('libcudart.so.12: cannot open shared object file')")
    with ChatServer(key=KEY) as server:
        code, said, warned = doctor("offline", "--json", INSIGHTEDIT_BASE_URL=server.url, INSIGHTEDIT_API_KEY=KEY)
    report = json.loads(said)
    assert code == 0 and KEY not in said + warned
    assert "libcudart" in report["torch"] and report["torchvision"] != "ok"
    (endpoint,) = report["chat"]
    assert (endpoint["address"], endpoint["answers"], endpoint["key_set"]) == (server.url, True, True)
    assert report["environment"]["INSIGHTEDIT_API_KEY"] and not report["environment"]["OPENAI_API_KEY"]


def test_endpoints_are_asked_only_with_leave_and_say_what_is_wrong(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with ChatServer() as server:
        known, other = (ChatKnobs(base_url=server.url, model=name) for name in ("gpt-4o", "gpt-9"))
        (left,) = ask_all([known, known], asked=False).values()
        told, strange = ask_all([known, other], asked=True).values()
    closed, keyless = ask_all([known, ChatKnobs(model="gpt-4o")], asked=True).values()
    assert (left.answers, left.detail) == (None, "not asked")
    assert (told.answers, told.detail) == (True, "answers")
    assert strange.answers and "does not list gpt-9" in strange.detail
    assert closed.answers is False and closed.mend
    assert keyless.answers is False and "OPENAI_API_KEY" in keyless.detail + keyless.mend


def test_an_unknown_name_is_refused_with_the_nearest_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["insightedit", "doctor", "ofline"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2 and "'offline'" in capsys.readouterr().err


def test_weights_are_whole_only_with_all_shards_and_the_commit_that_was_asked_for(disk, tmp_path):
    home, shards = tmp_path / "home", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    folder = snapshot(home, "facebook/sam3", "config.json", shards[0])
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("ab", shards, strict=True))})
    )
    snapshot(home, "openai/clip-vit-large-patch14", "config.json")
    snapshot(home, "facebook/sam-vit-huge", "model.safetensors")
    assert disk.find("facebook/sam3").state == "partial"
    assert disk.find("openai/clip-vit-large-patch14").state == "partial"
    assert disk.find("facebook/sam-vit-huge").state == "present"
    assert disk.find("facebook/sam-vit-huge", COMMIT).state == "present"
    assert disk.find("facebook/sam-vit-huge", "other").state == "missing"
    assert disk.find("facebook/sam2-hiera-large").state == "missing"
    assert disk.find(str(tmp_path)).state == "present"
    assert disk.find("no/folder/here").state == "by hand"
    (folder / shards[1]).write_bytes(b"weights")
    assert disk.find("facebook/sam3").state == "present"


class DescribeLike(Knobs):
    backend: Literal["annotations", "mllm"] = "annotations"
    mllm: MllmKnobs = MllmKnobs()


class JudgeLike(Knobs):
    clip: ClipKnobs | None = None
    residue: ResidueKnobs | None = None


class Preset(Knobs):
    describe: DescribeLike = DescribeLike()
    segment: SegmentKnobs = SegmentKnobs()
    paint: PaintKnobs = PaintKnobs()
    judge: JudgeLike = JudgeLike()


def names(needs: Needs) -> list[str]:
    return [one.name for one in needs.weights]


def test_only_the_chosen_ways_of_working_are_needed(disk):
    presets = Presets(disk)
    assert (names(presets.of(Preset())), presets.of(Preset()).chats) == ([], [])
    mllm = {"chat": {"model": "Qwen/Qwen2-VL-7B", "base_url": "http://x/v1"}, "text": {"model": "gpt-4o"}}
    removal, replacement = {"painter": "lama"}, {"painter": "powerpaint_v1", "settings": {"model": "someone/else"}}
    asked = Preset.model_validate({
        "describe": {"backend": "mllm", "mllm": mllm},
        "segment": {"backend": "grounded_sam", "place": {"device": "cuda:3"}},
        "paint": {"backend": "networks", "networks": {"removal": removal, "replacement": replacement}},
        "judge": {"residue": {"segmenter": "sam3"}},
    })  # fmt: skip
    needs = presets.of(asked)
    assert [(one.model, one.base_url) for one in needs.chats] == [("Qwen/Qwen2-VL-7B", "http://x/v1"), ("gpt-4o", "")]
    base, detector = "stable-diffusion-v1-5/stable-diffusion-inpainting", "IDEA-Research/grounding-dino-tiny"
    assert names(needs) == [detector, "facebook/sam2.1-hiera-large", "someone/else", base, "facebook/sam3"]
    assert needs.weights[3].files == ("vae/diffusion_pytorch_model.safetensors",), "PowerPaint brings its own UNet"
    assert "cuda:3" in needs.devices
    assert [("lama" in one.what, "big-lama.pt" in one.mend) for one in needs.lacks] == [(True, True)]
    judge = {"backend": "classical", "score": {"chat": {"model": "gpt-4o"}}, "vie": {"clip": {}}}
    judged = presets.of(Recipe.model_validate({"preset": "mine", "judge": judge}))
    assert (judged.chats, judged.weights) == ([], []), "the classical judge asks nobody, whatever is written beside it"
    by_clip = {"backend": "networks", "networks": {"removal": {"attempts": 2, "best_by": "clip"}}}
    assert "openai/clip-vit-large-patch14" in names(presets.of(Preset.model_validate({"paint": by_clip})))


def site(**changes: object) -> Site:
    package = Package("torch", ">=2.6", "2.9", True)
    extras = {extra: [package] for extra in ("", *EXTRAS)}
    return Site(**{"extras": extras, "endpoints": {}, "devices": ["cpu"], "torch": "", "torchvision": "absent",
                   "free_bytes": 10**10, **changes})  # fmt: skip


def whats(needs: Needs, **changes: object) -> str:
    judged = site(**changes).judge(needs)
    assert judged["ready"] is (not judged["lacks"])
    return " | ".join(f"{one['what']}: {one['mend']}" for one in judged["lacks"])


def test_each_lack_is_named_with_its_mend():
    chat = ChatKnobs(model="m", base_url="http://127.0.0.1:1/v1")
    down = Endpoint(chat.base_url, "m", "INSIGHTEDIT_API_KEY", False, False, "nobody answers", "Start it")
    gated = Weights("a/b", size_bytes=5 * 10**9, gated="auto")
    old = {extra: [Package("torch", ">=2.6", "1.0", False)] for extra in ("", *EXTRAS)}
    assert whats(Needs()) == "" and whats(Needs(weights=[Weights("a/b", state="present")])) == ""
    assert "torch 1.0, wanted >=2.6: pip install 'insightedit[models]'" in whats(Needs(weights=[gated]), extras=old)
    assert "a/b (5.0 GB) is missing: Accept its terms on https://huggingface.co/a/b" in whats(Needs(weights=[gated]))
    assert "HF_HOME" in whats(Needs(weights=[gated]), free_bytes=10**9)
    assert "nobody answers: Start it" in whats(Needs(chats=[chat]), endpoints={key_of(chat): down})
    assert "device cuda" in whats(Needs(devices={"auto", "cuda"}))
    assert whats(Needs(devices={"auto", "cuda"}), devices=["cpu", "cuda:0"]) == ""


def test_every_default_of_painters_editors_segmenters_and_metrics_is_listed_with_its_user(disk):
    settings = {f"painter/{name}": make_painter(name).settings for name in PAINTERS}
    settings |= {f"editor/{name}": make_editor(name).settings for name in EDITORS if name != "command"}
    settings |= {"segment": GroundedSamKnobs(), "judge": ClipKnobs(), "pairs": PromptToPromptKnobs()}
    for user, knobs in [*settings.items(), ("segment", Sam3Knobs())]:
        for one in Presets(disk).of(knobs).weights:
            assert one.name in disk.known and user in disk.known[one.name].used_by, (user, one.name)
    for one in disk.known.values():
        assert one.size_bytes > 0 and one.size_from in ("page", "memory") and one.licence_from in ("page", "memory")


PAPER = ["IDEA-Research/grounding-dino-tiny", "facebook/sam2-hiera-large", "JunhaoZhuang/PowerPaint-v2-1"]
MODERN = [
    "openmmlab-community/mm_grounding_dino_large_all",
    "facebook/sam2.1-hiera-large",
    "Qwen/Qwen-Image-Edit",
    "openai/clip-vit-large-patch14",
]


@pytest.mark.parametrize(
    ("preset", "weights", "models"),
    [("offline", [], []), ("paper", PAPER, ["gpt-4o"] * 3), ("modern", MODERN, [""] * 3)],
)
def test_a_shipped_preset_asks_for_its_weights_and_its_chats_and_for_nothing_else(disk, preset, weights, models):
    needs = Presets(disk).needs(preset)
    assert (list(dict.fromkeys(names(needs))), [chat.model for chat in needs.chats]) == (weights, models)
    assert needs.lacks == [] and all(one.size_bytes and one.state == "missing" for one in needs.weights)
    recipe = load(Recipe, preset_path("build", preset))
    assert recipe.preset == preset
    recipe.steps(Path())


def test_a_preset_of_ones_own_that_cannot_work_says_so(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("preset: mine\ndescribe: {backend: mllm}\n")
    with pytest.raises(ConfigError, match=r"segment\.backend=grounded_sam"):
        Presets(Disk()).needs(str(mine))


def test_every_extra_is_known():
    assert set(EXTRAS) | {"", "dev"} == set(requirements())


def test_people_get_tables_in_a_terminal():
    report = {"presets": [{"name": "paper", "ready": False, "lacks": [{"what": "a/b is missing", "mend": "Get it"}]}]}
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(_table("Presets", list(_presets(report))))
    assert "a/b is missing. Get it" in console.export_text()
