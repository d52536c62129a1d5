"""MGIE's network and its public files (Fu et al., "Guiding Instruction-based Image Editing via Multimodal LLMs", 2024).

LLaVA-7B-v1 reads the picture and the instruction and writes an expressive instruction that ends in the eight tokens
[IMG0] .. [IMG7]; the states that predict these eight become, through the EditMapper, the text context of a UNet.

    LLaVA-7B-v1/  config.json, tokenizer.model, weights: LLaMA under `model.*`, one Linear `model.mm_projector.*`
    mgie_7b/      mllm.pt: `model.embed_tokens.weight`, `lm_head.weight`, `edit_head.*`, `emb`; unet.pt: as diffusers

The facts (token order, key names, sizes, the wording that the weights were trained on) are those of apple/ml-mgie's
`mgie_llava.py`, `mgie_train.py`, `extract_ckpt.ipynb`, `demo.ipynb`. The code is written anew: theirs has another
licence.

L tokens, N patches, D the language model's width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from insightedit.core.errors import BackendError, InputError, one_line
from insightedit.core.files import read_json
from insightedit.model.convert.match import Part, fit
from insightedit.model.convert.read import need, read_folder, read_tensors

if TYPE_CHECKING:
    from PIL import Image
    from sentencepiece import SentencePieceProcessor

LAYOUT = (
    "The folder must hold LLaVA-7B-v1/{config.json, tokenizer.model, pytorch_model*.bin or *.safetensors} and "
    "mgie_7b/{mllm.pt, unet.pt}, as huggingface.co/tsujuifu/ml-mgie does"
)
IMG_TOKENS = 8
ADDED = 3 + IMG_TOKENS  # after the 32,000 of LLaMA: <im_patch>, <im_start>, <im_end>, [IMG0] = 32003 .. [IMG7]
BOS, EOS = 1, 2
VISION_LAYER = -2  # the README's training command
NGRAM = 3  # no three tokens come twice, prompt included (demo.ipynb: no_repeat_ngram_size)
TABLES = ("model.embed_tokens.weight", "lm_head.weight")

# What the released weights were trained on: FastChat's template vicuna_v1.1 around MGIE's question (mgie_train.py). The
# newline and the space around the picture are gone because LLaMA's slow tokenizer, used in training, stripped them.
BEFORE_PICTURE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    "USER: what will this image be like if '{instruction}'"
)
AFTER_PICTURE = "ASSISTANT:"


class EditMapper(nn.Module):
    """States of the [IMG] tokens -> a prompt in CLIP's text space: the paper's edit head, 31,958,784 parameters at 7B.

    Args:
        width: of the language model.
        context: of the UNet's cross-attention.
        inner, heads, layers, ffn, queries: the sizes of the released weights.
    """

    def __init__(
        self,
        width: int = 4096,
        context: int = 768,
        inner: int = 512,
        heads: int = 4,
        layers: int = 4,
        ffn: int = 2048,
        queries: int = 77,
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(inner, heads, ffn, dropout=0.0, batch_first=True, norm_first=True)
        # nn.Transformer's own encoder is the same, but warns that norm_first rules out nested tensors
        encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(inner), enable_nested_tensor=False)
        self.llm2hid = nn.Linear(width, inner)
        self.query = nn.Parameter(torch.randn(1, queries, inner))
        self.mapper = nn.Transformer(
            inner,
            heads,
            num_decoder_layers=layers,
            dim_feedforward=ffn,
            dropout=0.0,
            custom_encoder=encoder,
            batch_first=True,
            norm_first=True,
        )
        self.hid2feat = nn.Linear(inner, context)

    def forward(self, states: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        """States (B, 8, D) and the tokens' own embeddings (8, D) -> prompt (B, 77, 768)."""
        hidden = self.llm2hid(states + emb)  # (B, 8, 512)
        hidden = self.mapper(hidden, self.query.expand(len(states), -1, -1))  # (B, 77, 512)
        prompt: torch.Tensor = self.hid2feat(hidden)  # (B, 77, 768)
        return prompt


class Mllm(nn.Module):
    """What LLaVA-7B-v1 and mllm.pt hold together, every tensor under its public name.

    Args:
        config: LLaMA's, with the rows of `mllm.pt` (32,011) as vocabulary.
        vision_width: of CLIP's states (1024).
        context: of the UNet's cross-attention (768).
    """

    emb: torch.Tensor  # (8, D): a copy of the [IMG] tokens' embeddings

    def __init__(self, config: LlamaConfig, vision_width: int, context: int) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaModel(config)
        self.model.mm_projector = nn.Linear(vision_width, config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.edit_head = EditMapper(config.hidden_size, context)
        self.register_buffer("emb", torch.zeros(IMG_TOKENS, config.hidden_size))

    @torch.inference_mode()
    def prompt(self, states: torch.Tensor) -> torch.Tensor:
        """States that predict [IMG0] .. [IMG7] (8, D) -> the UNet's text context (1, 77, 768)."""
        out: torch.Tensor = self.edit_head(states[None], self.emb)
        return out

    def null(self) -> torch.Tensor:
        """The context of no instruction (1, 77, 768): the mapper's answer to zeros, as in its training."""
        return self.prompt(torch.zeros_like(self.emb))


@dataclass(frozen=True)
class Expression:
    """What was written: the expressive instruction, and the states (8, D) that predict [IMG0] .. [IMG7]."""

    text: str
    states: torch.Tensor


class Writer:
    """LLaVA-1: CLIP's patches through one Linear into a LLaMA that answers greedily.

    Args:
        mllm: the language model with its projector; its last 11 rows are the added tokens.
        vision: `CLIPVisionModel`.
        processor: CLIP's image processor (shorter side to 224, centre crop).
        words: LLaMA's own sentencepiece model. transformers' tokenizer is not used: it puts stray spaces around added
            tokens, and reads their written form in an instruction as tokens.
    """

    def __init__(self, mllm: Mllm, vision: Any, processor: Any, words: SentencePieceProcessor) -> None:
        self.mllm, self.vision, self.processor, self.words = mllm, vision, processor, words
        self.patches = (vision.config.image_size // vision.config.patch_size) ** 2  # 256
        self.first_img = mllm.lm_head.out_features - IMG_TOKENS  # 32003
        self.im_patch, self.im_start, self.im_end = range(self.first_img - 3, self.first_img)

    def to(self, device: torch.device | str) -> Writer:
        """The same, on a device."""
        self.mllm.to(device)
        self.vision.to(device)
        return self

    def ids(self, instruction: str) -> list[int]:
        """[BOS] question <im_start> <im_patch> x N <im_end> "ASSISTANT:", each text segment with its leading space."""
        asked = self.words.Encode(BEFORE_PICTURE.format(instruction=" ".join(instruction.split())))
        picture = [self.im_start, *[self.im_patch] * self.patches, self.im_end]
        return [BOS, *asked, *picture, *self.words.Encode(AFTER_PICTURE)]

    def see(self, image: Image.Image) -> torch.Tensor:
        """A picture of any size -> projected patches (N, D); the next to last layer of CLIP, without CLS."""
        pixels = self.processor(images=image, return_tensors="pt")["pixel_values"]  # (1, 3, 224, 224)
        pixels = pixels.to(self.vision.device, self.vision.dtype)
        states = self.vision(pixels, output_hidden_states=True).hidden_states[VISION_LAYER]  # (1, 1 + N, 1024)
        projector: Any = self.mllm.model.mm_projector
        patches: torch.Tensor = projector(states[0, 1:])  # (N, D)
        return patches

    def embed(self, ids: list[int], patches: torch.Tensor | None = None) -> torch.Tensor:
        """Token ids -> inputs (1, L, D); the patches take the places of <im_patch>."""
        rows: torch.Tensor = self.mllm.model.embed_tokens(torch.tensor(ids, device=self.mllm.emb.device))  # (L, D)
        if patches is not None:
            start = ids.index(self.im_patch)
            rows = torch.cat([rows[:start], patches, rows[start + len(patches) :]])  # (L, D)
        return rows[None]

    @torch.inference_mode()
    def write(self, image: Image.Image, instruction: str, max_new_tokens: int = 96) -> Expression:
        """Picture + instruction -> the expressive instruction and the states of its [IMG] tokens, by greedy decoding.

        Raises:
            InputError: the instruction does not fit into the model's positions.
            BackendError: the answer does not hold [IMG0] .. [IMG7] in a row. (The demo then takes the eight states
                before the last one, whatever they predict, and says nothing.)
        """
        ids = self.ids(instruction)
        positions = self.mllm.config.max_position_embeddings
        if len(ids) + max_new_tokens > positions:
            why = f"{len(ids)} tokens with picture and prompt and {max_new_tokens} to write, at most {positions}"
            raise InputError("the instruction is too long for MGIE", why, "Shorten the instruction")
        return self._expression(*self._decode(ids, self.see(image), max_new_tokens))

    def _decode(self, ids: list[int], patches: torch.Tensor, max_new_tokens: int) -> tuple[list[int], torch.Tensor]:
        """Greedily up to [IMG7] or the end: new tokens, and the states (tokens, D) that predict them."""
        inputs, cache = self.embed(ids, patches), None  # (1, L, D)
        tokens: list[int] = []
        states: list[torch.Tensor] = []
        while len(tokens) < max_new_tokens and tokens[-1:] not in ([EOS], [self.first_img + IMG_TOKENS - 1]):
            out = self.mllm.model(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            states.append(out.last_hidden_state[0, -1])  # (D,), after the final RMSNorm
            tokens.append(self._next(states[-1], ids + tokens))
            inputs = self.embed(tokens[-1:])  # (1, 1, D)
        return tokens, torch.stack(states)

    def _next(self, state: torch.Tensor, so_far: list[int]) -> int:
        scores = self.mllm.lm_head(state).float()  # (vocabulary,)
        scores[banned(so_far)] = -torch.inf
        return int(scores.argmax())

    def _expression(self, tokens: list[int], states: torch.Tensor) -> Expression:
        start = tokens.index(self.first_img) if self.first_img in tokens else len(tokens)
        text = self.words.Decode([token for token in tokens[:start] if EOS < token < self.im_patch]).strip()
        if tokens[start : start + IMG_TOKENS] != list(range(self.first_img, self.first_img + IMG_TOKENS)):
            seen = sum(token >= self.first_img for token in tokens)
            raise BackendError(
                "MGIE's language model gave no edit",
                f"its {len(tokens)} tokens hold {seen} of [IMG0] .. [IMG7], not all eight in a row; it wrote {text!r}",
                "Word the instruction otherwise, or raise max_new_tokens",
            )
        return Expression(text, states[start : start + IMG_TOKENS])


def banned(tokens: list[int], n: int = NGRAM) -> list[int]:
    """Ids that would make the last n - 1 tokens a sequence of n that is already there."""
    tail = tokens[len(tokens) - n + 1 :]
    return [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == tail]


def load_writer(folder: Path, vision: Path, context: int, dtype: torch.dtype) -> Writer:
    """LLaVA-7B-v1 with MGIE's rows and mapper; tensors that have the dtype already stay on disk until they are used.

    Args:
        folder: holds `LLaVA-7B-v1/` and `mgie_7b/`.
        vision: a folder with CLIP ViT-L/14 (`openai/clip-vit-large-patch14`).
        context: width of the UNet's cross-attention.
        dtype: of all weights.

    Raises:
        InputError: a file is missing or unreadable; a tensor is missing, unexpected or of another shape.
        BackendError: sentencepiece is not installed.
    """
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    need(folder, LAYOUT, "LLaVA-7B-v1/config.json", "LLaVA-7B-v1/tokenizer.model", "mgie_7b/mllm.pt")
    part = _tensors(folder)
    table = part.tensors.get(TABLES[0])
    words = _words(folder / "LLaVA-7B-v1/tokenizer.model")
    config = _llama_config(folder / "LLaVA-7B-v1/config.json", len(words) + ADDED if table is None else len(table))
    if config.vocab_size != len(words) + ADDED:
        why = f"it has {len(words)} pieces, {TABLES[0]} {config.vocab_size} rows, which is not {ADDED} more"
        raise InputError(f"the tokenizer of {folder} does not fit the weights", why, LAYOUT)
    eyes, processor = _eyes(vision)
    with torch.device("meta"):
        mllm = Mllm(config, eyes.config.hidden_size, context)
    fit(part, mllm, str(folder))
    mllm.load_state_dict(part.tensors, assign=True)
    mllm.to(dtype)
    # computed, never stored: the one made on meta has no values; after the cast, because positions need float32
    mllm.model.rotary_emb = LlamaRotaryEmbedding(config)
    return Writer(mllm.eval().requires_grad_(False), eyes.to(dtype).eval().requires_grad_(False), processor, words)


def _tensors(folder: Path) -> Part:
    """LLaVA's tensors and MGIE's, the latter's two tables (32,011 rows) in place of the former's (32,003)."""
    llava, _ = read_folder(folder / "LLaVA-7B-v1", LAYOUT)
    # LLaMA files of transformers before 4.31 store the constants of the rotary positions; they are computed here
    kept = {
        key: value for key, value in llava.items() if key not in TABLES and not key.endswith(".rotary_emb.inv_freq")
    }
    mgie = read_tensors(folder / "mgie_7b/mllm.pt")
    if both := sorted(kept.keys() & mgie.keys()):
        why = f"{len(both)} unexpected ({', '.join(both[:3])}), which LLaVA-7B-v1 holds"
        raise InputError(f"{folder / 'mgie_7b/mllm.pt'} does not hold what was expected", why, LAYOUT)
    origin = {key: f"{key} of LLaVA-7B-v1" for key in kept} | {key: f"{key} of mgie_7b/mllm.pt" for key in mgie}
    return Part(kept | mgie, origin)


def _llama_config(path: Path, rows: int) -> LlamaConfig:
    """LLaVA-1's config.json names a model type that means another network today: only LLaMA's sizes are taken."""
    written = read_json(path)
    try:
        return LlamaConfig(
            vocab_size=rows,
            hidden_size=written["hidden_size"],
            intermediate_size=written["intermediate_size"],
            num_hidden_layers=written["num_hidden_layers"],
            num_attention_heads=written["num_attention_heads"],
            num_key_value_heads=written["num_attention_heads"],
            rms_norm_eps=written["rms_norm_eps"],
            max_position_embeddings=written.get("max_position_embeddings", 2048),  # LLaMA-1's
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    except KeyError as error:
        raise InputError(f"cannot use {path}", f"{error} is missing", LAYOUT) from error
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(f"cannot use {path}", one_line(error), LAYOUT) from error


def _words(path: Path) -> SentencePieceProcessor:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise BackendError("cannot read LLaMA's tokenizer.model", "sentencepiece is not installed",
                           "pip install sentencepiece") from error  # fmt: skip
    try:
        return SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise InputError(f"cannot read {path}", one_line(error), LAYOUT) from error


def _eyes(folder: Path) -> tuple[Any, Any]:
    from transformers import CLIPImageProcessorPil, CLIPVisionModel

    mend = "vision must be openai/clip-vit-large-patch14, or a folder that holds it, preprocessor_config.json included"
    need(folder, mend, "config.json", "preprocessor_config.json")
    eyes = _pretrained(CLIPVisionModel, folder, mend)
    try:
        return eyes, CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"cannot use {folder / 'preprocessor_config.json'}", one_line(error), mend) from error


def _pretrained(network: Any, folder: Path, mend: str) -> Any:
    """A network of transformers or diffusers, whole. More keys are right: a full CLIP holds the text half too."""
    try:
        model, report = network.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    except Exception as error:  # damaged folders end in any of a dozen exceptions of three libraries
        raise InputError(f"cannot load {folder}", f"{type(error).__name__}: {one_line(error)}", mend) from error
    if missing := sorted(report["missing_keys"]):
        why = f"{len(missing)} tensors are missing ({', '.join(missing[:3])})"
        raise InputError(f"{folder} is partial", why, mend)
    return model


def load_pipeline(base: Path, unet_file: Path, dtype: torch.dtype) -> Any:
    """Stock InstructPix2Pix with MGIE's UNet. It is given embeddings, so it has no text encoder.

    Args:
        base: `timbrooks/instruct-pix2pix` in a folder: VAE, scheduler, and the configuration of the UNet.
        unet_file: `unet.pt`.
        dtype: of all weights.

    Raises:
        InputError: a file is missing or unreadable; a tensor is missing, unexpected or of another shape.
    """
    from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline

    mend = "base must be timbrooks/instruct-pix2pix, or a folder that holds it"
    need(base, mend, "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json")
    need(unet_file.parent.parent, LAYOUT, f"{unet_file.parent.name}/{unet_file.name}")
    make: Any = StableDiffusionInstructPix2PixPipeline
    schedule: Any = EulerAncestralDiscreteScheduler.from_config
    return make(
        vae=_pretrained(AutoencoderKL, base / "vae", mend).to(dtype),
        unet=_unet(base / "unet/config.json", unet_file, dtype),
        scheduler=schedule(read_json(base / "scheduler/scheduler_config.json")),
        requires_safety_checker=False,
        **dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor")),
    )


def _unet(config: Path, file: Path, dtype: torch.dtype) -> Any:
    from diffusers import UNet2DConditionModel

    make: Any = UNet2DConditionModel.from_config
    try:
        with torch.device("meta"):
            unet = make(read_json(config))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"cannot use {config}", one_line(error), "Download it again") from error
    part = Part(read_tensors(file))
    fit(part, unet, str(file))
    unet.load_state_dict(part.tensors, assign=True)
    return unet.to(dtype).eval().requires_grad_(False)
