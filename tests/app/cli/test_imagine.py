"""The user's command, from tiny weights in the public layouts to a dataset that keeps its promises."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported: nothing here asks a hub

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from insightedit.app.cli.main import app
from insightedit.construct.inspection import inspect
from insightedit.core.errors import InputError

TRIPLE = {"caption": "a ship at sea", "instruction": "set it on fire", "edited": "a burning ship at sea"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder with `sd`, as stable-diffusion-v1-5 has it, and `clip`, as openai/clip-vit-large-patch14 has it."""
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from tiny_pipelines import stable_diffusion
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
    folder = tmp_path_factory.mktemp("weights")
    made = stable_diffusion(in_channels=4)
    parts = {**made.components, "scheduler": PNDMScheduler(skip_prk_steps=True, steps_offset=1)}
    parts.pop("image_encoder", None)
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder / "sd")
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokenizer = made.tokenizer
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**layers, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    vision = {**layers, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    square = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square).save_pretrained(folder / "clip")
    return folder


def command(folder: Path, **settings: Any) -> Any:
    """The command on a list of one triple, with these settings; on the CPU, in this process."""
    path = folder / "list.jsonl"
    path.write_text(json.dumps(TRIPLE))
    words = ["imagine", str(path), "--out", str(folder / "out"), "--device", "cpu", "--workers", "0", "--json"]
    words += ["--licence", "CreativeML OpenRAIL-M"]
    words += [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def tiny(weights: Path) -> dict[str, Any]:
    """Settings of the preset that is the default, at a size for tests, with a filter that random networks pass."""
    sampler = {"model": str(weights / "sd"), "vae": None, "side": 64, "steps": 2, "samples": 6, "batch_size": 2}
    settings = {f"sample.sampler.{name}": value for name, value in sampler.items()}
    settings |= {f"sample.sift.{name}": -1 for name in ("min_text", "min_direction", "min_image")}
    return settings | {
        "sample.clip.model": str(weights / "clip"),
        "sample.changed.threshold": 0,
        "sample.changed.speck": 0,
    }


def test_from_weights_to_a_dataset(weights, tmp_path):
    answer = command(tmp_path, **tiny(weights))
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert report["rows"] == 4 and report["funnel"][-1]["came_in"] == 6 and report["asked"] == {}
    files = (tmp_path / "out" / "dataset" / "data").glob("*.parquet")
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert len({row["source_sha256"] for row in rows}) == len({row["seed"] for row in rows}) == 4
    assert {row["license"] for row in rows} == {"CreativeML OpenRAIL-M"}
    assert all(row["engine"].startswith("prompt_to_prompt:") and np.isfinite(row["clip_dir"]) for row in rows)
    assert inspect(tmp_path / "out").ok


def test_weights_that_are_not_there_are_named_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        command(tmp_path, **{"sample.sampler.model": str(tmp_path / "nowhere")})
    assert not (tmp_path / "out" / "dataset").exists()
