"""A small InsightEdit without torch: onnxruntime runs the graphs of `model.graphs` on the pipeline's own weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from insightedit.core.errors import BackendError, InputError, one_line
from insightedit.core.files import read_json
from insightedit.model.config import CLIP_MEAN, CLIP_STD, LanguageConfig, SamplingConfig, VisionConfig
from insightedit.model.tokens import Prompt, SpecialIds, TokenSequence, sequence

GRAPHS = ("understand", "denoise")
WEIGHTS = "diffusion_pytorch_model.safetensors"
COMPONENTS = ("comprehension", "bridge", "unet", "image_attention")


class LightTokenizer:
    """`tokenizer.json` as `model.tokens` asks a tokenizer; special tokens written in a text stay plain."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self.inner = Tokenizer.from_file(str(path))
        self.inner.encode_special_tokens = True

    def __call__(self, text: str, **_: Any) -> Any:
        return SimpleNamespace(input_ids=self.inner.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True)
class Noise:
    """DDIM without noise of its own (Song et al. 2021) for a network that says the clean picture."""

    kept: np.ndarray  # (1000,) alpha bar

    @classmethod
    def of(cls, config: dict[str, Any]) -> Noise:
        """From diffusers' `scheduler_config.json`; the schedule ends in nothing but noise (Lin et al. 2023).

        Raises:
            InputError: it asks for something else.
        """
        wanted = {"_class_name": "DDIMScheduler", "prediction_type": "sample", "timestep_spacing": "trailing",
                  "rescale_betas_zero_snr": True, "beta_schedule": "scaled_linear", "clip_sample": False,
                  "thresholding": False}  # fmt: skip
        for name, value in wanted.items():
            if config.get(name) != value:
                raise InputError("this schedule cannot be run without torch", f"{name} is {config.get(name)!r}, not "
                                 f"{value!r}", "Use --editor insightedit")  # fmt: skip
        ends, count = (config["beta_start"] ** 0.5, config["beta_end"] ** 0.5), config["num_train_timesteps"]
        roots = np.sqrt(np.cumprod(1 - np.linspace(*ends, count) ** 2))  # sqrt of alpha bar
        roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
        return cls(roots**2)

    def timesteps(self, steps: int) -> np.ndarray:
        """(steps,) from the noisiest on, the last of the schedule included ("trailing")."""
        return np.round(np.arange(len(self.kept), 0, -len(self.kept) / steps)).astype(np.int64) - 1

    def step(self, clean: np.ndarray, t: int, noisy: np.ndarray, steps: int) -> np.ndarray:
        """What the network says is clean, and the noisy one -> the less noisy one, all (1, C, h, w)."""
        before = t - len(self.kept) // steps
        kept, next_ = self.kept[t], self.kept[before] if before >= 0 else 1.0
        noise = (noisy - np.sqrt(kept) * clean) / np.sqrt(1 - kept)
        found: np.ndarray = np.sqrt(next_) * clean + np.sqrt(1 - next_) * noise
        return found


class LightPipeline:
    """A folder of `InsightEditPipeline` that has graphs -> edits.

    Raises:
        InputError: the folder lacks a file, or its parts do not fit together.
        BackendError: onnxruntime is not installed.
    """

    def __init__(self, folder: Path) -> None:
        index, mllm = read_json(folder / "model_index.json"), read_json(folder / "comprehension" / "config.json")
        self.resolution, self.usual = index["resolution"], SamplingConfig(**index["sampling"])
        if (self.usual.text_guidance, self.usual.image_guidance) != (1, 1):
            raise InputError(f"{folder} cannot be run without torch", "it wants guidance", "Use --editor insightedit")
        self.factor = read_json(folder / "vae" / "config.json")["factor"]
        self.sizes, self.eye = LanguageConfig(**mllm["language_config"]), VisionConfig(**mllm["vision_config"])
        self.special = SpecialIds(self.sizes.vocabulary, self.sizes.mm_tokens)
        self.prompt = Prompt(**mllm["prompt"])
        self.tokenizer = LightTokenizer(folder / "tokenizer" / "tokenizer.json")
        self.noise = Noise.of(read_json(folder / "scheduler" / "scheduler_config.json"))
        weights, graphs = _weights(folder), folder / "graphs"
        keys = read_json(graphs / "weights.json")
        self.understand, self.denoise = (_session(graphs / f"{one}.onnx", weights, keys[one]) for one in GRAPHS)

    def tokens(self, instruction: str) -> TokenSequence:
        """The conversation; raises InputError where it is too long."""
        layout = (self.special, self.eye.grid**2, self.sizes.max_text, self.prompt)
        return sequence(self.tokenizer, instruction, *layout)

    def comprehend(self, image: Image.Image, instruction: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The conditions of generation by name, and the mean patch feature (W,)."""
        side = self.eye.size
        pixels = (_unit(image, side) - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)  # (S, S, 3)
        feeds = {"pixels": pixels.transpose(2, 0, 1)[None]} | self._fed(self.tokens(instruction))
        text, residual, picture, v = self.understand.run(None, feeds)
        return {"text": text, "residual": residual, "image": picture}, v[0]

    def paint(
        self,
        image: Image.Image,
        conditions: dict[str, np.ndarray],
        noise: np.ndarray,
        steps: int | None = None,
        told: Callable[[int, int], None] = lambda done, of: None,
    ) -> Image.Image:
        """Denoise `noise` (1, C, h, w), standard normal -> the edited picture, of the size that came in."""
        steps = steps or self.usual.steps
        source = _cells(_unit(image, self.resolution) * 2 - 1, self.factor)  # (1, C, h, w)
        noisy = noise
        for done, t in enumerate(self.noise.timesteps(steps), 1):
            fed = {"noisy": noisy.astype(np.float32), "source": source, "t": np.array([t])}
            (clean,) = self.denoise.run(None, fed | conditions)
            noisy = self.noise.step(clean, int(t), noisy, steps)
            told(done, steps)
        if not np.isfinite(noisy).all():
            raise BackendError("the model gave numbers that are not finite", "its weights are damaged", "Reinstall it")
        edited = Image.fromarray(((_pixels(noisy, self.factor).clip(-1, 1) + 1) * 127.5).round().astype(np.uint8))
        return edited if edited.size == image.size else edited.resize(image.size, Image.Resampling.LANCZOS)

    def draw(self, seed: int) -> np.ndarray:
        """Standard normal (1, C, h, w). Another one than torch's of that seed."""
        cells = self.resolution // self.factor
        return np.random.default_rng(seed).standard_normal((1, 3 * self.factor**2, cells, cells))

    def _fed(self, one: TokenSequence) -> dict[str, np.ndarray]:
        length = self.sizes.max_text + self.eye.grid**2  # L
        ids = np.zeros((1, length), np.int64)
        ids[0, : len(one.ids)] = one.ids
        places = np.flatnonzero(ids[0] >= self.special.mm[0])  # (r,)
        mask = np.arange(length)[None] < len(one.ids)  # (1, L)
        return {"ids": ids, "mask": mask, "image_start": np.array([one.image_start]), "mm_places": places[None]}


def _unit(image: Image.Image, side: int) -> np.ndarray:
    """Squash to a square -> float32 (side, side, 3) in [0, 1]."""
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32) / 255


def _cells(pixels: np.ndarray, factor: int) -> np.ndarray:
    """(S, S, 3) -> (1, 3 f^2, S / f, S / f), as torch's pixel_unshuffle."""
    side = len(pixels) // factor
    tiles = pixels.reshape(side, factor, side, factor, 3).transpose(4, 1, 3, 0, 2)  # (3, f, f, S / f, S / f)
    return np.ascontiguousarray(tiles.reshape(1, -1, side, side))


def _pixels(cells: np.ndarray, factor: int) -> np.ndarray:
    """The way back: (1, 3 f^2, s, s) -> (s f, s f, 3)."""
    side = cells.shape[2]
    tiles = cells.reshape(3, factor, factor, side, side).transpose(3, 1, 4, 2, 0)  # (s, f, s, f, 3)
    found: np.ndarray = tiles.reshape(side * factor, side * factor, 3)
    return found


def _weights(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor as float32 by component, dot, key: the names in the graphs."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = {}
    for component in COMPONENTS:
        path = folder / component / WEIGHTS
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"cannot read {path}", str(error), "Install insightedit again, or train it again"
            ) from error
        found |= {f"{component}.{key}": np.asarray(one, np.float32) for key, one in tensors.items()}
    return found


def _session(graph: Path, weights: dict[str, np.ndarray], keys: dict[str, str]) -> Any:
    """An onnxruntime session whose initializers are handed over: name in the graph -> key of a weight.

    Raises:
        InputError: the graph is missing, or wants other weights.
        BackendError: onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendError("cannot run the small model", "onnxruntime is not installed", "pip install onnxruntime") \
            from error  # fmt: skip
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC  # more costs a second to save less
    if missing := set(keys.values()) - set(weights):
        raise InputError(f"{graph} does not fit its weights", f"{min(missing)} is not among them", "Pack it again")
    values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(weights[key])) for key in keys.values()]
    options.add_external_initializers(list(keys), values)
    try:
        return ort.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise InputError(f"cannot read {graph}", error.strerror or str(error), "Use --editor insightedit") from error
    except Exception as error:  # onnxruntime raises classes of its own for each code
        raise InputError(f"{graph} does not fit its weights", one_line(error),
                         "Use --editor insightedit, or pack the model again") from error  # fmt: skip
