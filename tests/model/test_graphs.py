"""Graphs: made again from a pipeline they are the shipped ones; what cannot be one is refused."""

import json

import numpy as np
import pytest

from insightedit.app.pack import merged
from insightedit.core.errors import InputError
from insightedit.core.files import shipped
from insightedit.model.graphs import NAMES, export
from insightedit.model.pipeline import from_preset


def test_a_pipeline_that_samples_otherwise_has_no_graphs(pipeline, tmp_path):
    with pytest.raises(InputError, match="no pixels for latents"):
        export(pipeline, tmp_path)


def test_adapters_must_be_merged_first(tmp_path):
    with pytest.raises(InputError, match="not merged"):
        export(from_preset("scenes"), tmp_path)


def test_merging_adapters_changes_no_state(tmp_path):
    import torch

    from insightedit.model.tokens import collate, sequence

    pipeline = from_preset("scenes", seed=1)
    mllm = pipeline.comprehension
    with torch.no_grad():
        for name, weight in mllm.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    layout = (mllm.special, mllm.eye.grid**2, mllm.sizes.max_text, mllm.prompt)
    tokens = collate([sequence(pipeline.tokenizer, "remove the cube", *layout)])
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted, found = mllm.eval()(tokens, pixels).states, merged(mllm)(tokens, pixels).states
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.slow
def test_the_shipped_graphs_are_those_that_this_code_makes(tmp_path):
    onnx = pytest.importorskip("onnx")
    pipeline = from_preset("scenes", seed=2)
    pipeline.register_modules(comprehension=merged(pipeline.comprehension))
    export(pipeline, tmp_path)
    there = shipped("weights/scenes/graphs")
    assert json.loads((tmp_path / NAMES).read_text()) == json.loads((there / NAMES).read_text())
    for name in ("understand", "denoise"):
        ours, theirs = (
            onnx.load(folder / f"{name}.onnx", load_external_data=False).graph for folder in (tmp_path, there)
        )
        assert [node.op_type for node in ours.node] == [node.op_type for node in theirs.node]
        assert [(one.name, one.dims) for one in ours.initializer] == [
            (one.name, one.dims) for one in theirs.initializer
        ]
