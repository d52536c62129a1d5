"""A pipeline as two ONNX graphs, so that it edits without torch: `understand` once a picture, `denoise` once a step.

The graphs hold no weights: those stay in the pipeline's own safetensors, and `weights.json` says which initializer is
which of them (component, dot, key). Fixed sizes: one square picture of the pipeline's resolution, and as many
tokens as the language model takes, padded on the right, which under a causal mask changes nothing before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from insightedit.core.errors import BackendError, InputError
from insightedit.core.files import write_text
from insightedit.model.bridging import Conditions
from insightedit.model.codec import PixelCodec
from insightedit.model.generation import decoupled, denoise
from insightedit.model.pipeline import InsightEditPipeline
from insightedit.model.tokens import TokenBatch

FOLDER = "graphs"  # inside the pipeline's
NAMES = "weights.json"  # onnxruntime takes no weight that a graph lacks, and does not say which it has
EXTERNAL = "weights"  # no file: whoever opens a graph hands the weights over


@dataclass(frozen=True)
class Signature:
    """Names of what goes in and comes out, in order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


SIGNATURES = {
    "understand": Signature(("pixels", "ids", "mask", "image_start", "mm_places"), ("text", "residual", "image", "v")),
    "denoise": Signature(("noisy", "source", "t", "text", "residual", "image"), ("clean",)),
}


class Understand(nn.Module):
    """Comprehension and bridge in one. L tokens of which r, at `mm_places`, are [MM]."""

    def __init__(self, pipeline: InsightEditPipeline) -> None:
        super().__init__()
        self.comprehension, self.bridge = pipeline.comprehension, pipeline.bridge
        self.latents = pipeline.config.resolution // pipeline.vae.config.factor

    def forward(
        self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, start: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        """(1, 3, S, S), (1, L), (1, L) bool, (1,), (1, r) -> f_txt, v_t, f_img, and the mean patch feature (1, W)."""
        seen = self.comprehension(TokenBatch(ids, mask, ids, start), pixels)
        h = seen.states.gather(1, places[..., None].expand(-1, -1, seen.states.shape[-1]))  # (1, r, D)
        conditions = self.bridge(h, seen.v, (self.latents, self.latents))
        return conditions.text, conditions.residual, conditions.image, seen.v.mean(1)


class Denoise(nn.Module):
    """One step: what the picture would be without noise, since the UNet says what to add to the source."""

    def __init__(self, pipeline: InsightEditPipeline) -> None:
        super().__init__()
        self.unet = pipeline.unet  # the image attention's layers are inside

    def forward(
        self,
        noisy: torch.Tensor,
        source: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        residual: torch.Tensor,
        image: torch.Tensor,
    ) -> torch.Tensor:
        """(1, C, h, w), (1, C, h, w), (1,), f_txt, v_t, f_img -> (1, C, h, w)."""
        return denoise(self.unet, noisy, source, t, Conditions(text, residual, image)) + source


def export(pipeline: InsightEditPipeline, folder: Path) -> None:
    """Write both graphs into `folder`, and which weights each takes.

    Raises:
        InputError: the pipeline is of another kind than the graphs can express.
        BackendError: the ONNX exporter is not installed.
    """
    _require(pipeline)
    pipeline = _shuffled(pipeline)
    length = pipeline.comprehension.sizes.max_text + pipeline.comprehension.eye.grid**2
    understand, denoising = Understand(pipeline).eval(), Denoise(pipeline).eval()
    given = _example(pipeline, length)
    with torch.no_grad():
        *conditions, _ = understand(*given)
        cells = (1, pipeline.unet.config.out_channels, understand.latents, understand.latents)
        step = (torch.zeros(cells), torch.zeros(cells), torch.tensor([500]), *conditions)
        with decoupled(pipeline.unet, pipeline.image_attention):
            models = {"understand": _traced(understand, given, "understand"),
                      "denoise": _traced(denoising, step, "denoise")}  # fmt: skip
            keys = _keys(pipeline, understand) | _keys(pipeline, denoising)
    folder.mkdir(parents=True, exist_ok=True)
    taken = {}
    for name, model in models.items():
        taken[name] = _take_weights_out(model, keys)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    write_text(folder / NAMES, json.dumps(taken, indent=0))


def _keys(pipeline: InsightEditPipeline, module: nn.Module) -> dict[str, str]:
    """Names of a module's tensors -> component, dot, key in the pipeline's files: the same memory, other names."""
    files = {
        tensor.data_ptr(): f"{component}.{key}"
        for component in ("comprehension", "bridge", "unet", "image_attention")
        for key, tensor in getattr(pipeline, component).state_dict().items()
        if ".processor." not in key  # of the image attention, which has a file of its own
    }
    return {name: files[tensor.data_ptr()] for name, tensor in module.state_dict().items()}


def _require(pipeline: InsightEditPipeline) -> None:
    lacks = {
        "no pixels for latents": not isinstance(pipeline.vae, PixelCodec),
        "no square pictures": not pipeline.config.square,
        "no residual prediction": not pipeline.config.residual,
        "no image branch": pipeline.image_attention is None,
        "a low-rank adapter that was not merged": pipeline.comprehension.config.lora_config is not None,
    }
    if found := [fault for fault, there in lacks.items() if there]:
        raise InputError("this pipeline has no graphs", f"it has {', '.join(found)}",
                         "Graphs are made of small models of preset `scenes`")  # fmt: skip


def _shuffled(pipeline: InsightEditPipeline) -> InsightEditPipeline:
    """A copy with random weights: the optimiser would make one of two that happen to be equal, as fresh biases are."""
    parts: dict[str, Any] = {
        name: deepcopy(part) for name, part in pipeline.components.items() if isinstance(part, nn.Module)
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for part in parts.values():
            for tensor in part.state_dict().values():
                if tensor.is_floating_point():
                    tensor.normal_(std=0.05)
    others = {name: part for name, part in pipeline.components.items() if name not in parts}
    options: dict[str, Any] = {name: pipeline.config[name] for name in ("resolution", "square", "residual", "sampling")}
    return InsightEditPipeline(**parts, **others, **options)


def _example(pipeline: InsightEditPipeline, length: int) -> tuple[torch.Tensor, ...]:
    """Any input of the right sizes: tracing does not look at values."""
    side, count = pipeline.comprehension.eye.size, pipeline.comprehension.sizes.mm_tokens
    ids, mask = torch.zeros(1, length, dtype=torch.int64), torch.zeros(1, length, dtype=torch.bool)
    places = torch.arange(length - 1 - count, length - 1)[None]  # (1, r)
    ids[0, places[0]] = torch.tensor(pipeline.comprehension.special.mm)
    mask[:] = True
    mask[0, -1] = False  # one that is all True would be folded away
    return torch.zeros(1, 3, side, side), ids, mask, torch.tensor([3]), places


def _traced(module: nn.Module, given: Sequence[Any], name: str) -> Any:
    """Module and example -> onnx ModelProto with every weight, shapes folded."""
    try:
        import onnx_ir
        from onnxscript import optimizer
    except ImportError as error:
        raise BackendError("cannot write ONNX graphs", f"{error.name} is not installed",
                           "pip install 'insightedit[export]'") from error  # fmt: skip
    asked = SIGNATURES[name]
    program = torch.onnx.export(
        module,
        tuple(given),
        dynamo=True,
        optimize=False,
        verbose=False,
        input_names=asked.inputs,
        output_names=asked.outputs,
    )
    assert program is not None
    optimizer.optimize_ir(program.model, should_fold=_may_fold)
    return onnx_ir.to_proto(program.model)


def _may_fold(node: Any) -> bool | None:
    """Not what is made of weights, which would put a second copy of them into the graph; the rest as usual."""
    weighty = any(one is not None and one.is_initializer() and "." in one.name for one in node.inputs)
    return False if weighty else None


def _take_weights_out(model: Any, keys: dict[str, str]) -> dict[str, str]:
    """Initializers that the pipeline's files hold keep name, type and shape only -> their names and keys."""
    from onnx import TensorProto, numpy_helper

    weights = [one for one in model.graph.initializer if one.name in keys]
    for one in weights:
        about = TensorProto(name=one.name, data_type=one.data_type, dims=one.dims)
        about.data_location = TensorProto.EXTERNAL
        size = numpy_helper.to_array(one).nbytes
        for key, value in (("location", EXTERNAL), ("offset", "0"), ("length", str(size))):
            about.external_data.add(key=key, value=value)
        one.CopyFrom(about)
    for node in model.graph.node:  # where in the source each came from, with paths of this machine
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    return {one.name: keys[one.name] for one in weights}
