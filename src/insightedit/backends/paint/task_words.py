"""PowerPaint's task words (Zhuang et al. 2023, arXiv 2312.03594): P_ctxt, P_shape and P_obj, ten learned vectors each.

The public checkpoints keep them in a wrapper of mmagic. Here they are 30 more rows of an ordinary embedding table and
30 more tokens of an ordinary CLIP tokenizer (ids 49408 on), which gives the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from insightedit.backends.paint.checkpoint import Tensors, built, read, weights_in
from insightedit.core.errors import InputError

TaskWord = Literal["P_ctxt", "P_shape", "P_obj"]
Purpose = Literal["remove", "object", "shape"]

TASK_WORDS: tuple[TaskWord, ...] = ("P_ctxt", "P_shape", "P_obj")  # the order in which training numbered them
PUT: dict[str, tuple[TaskWord, TaskWord]] = {"object": ("P_obj", "P_obj"), "shape": ("P_shape", "P_ctxt")}
VECTORS = 10
NAMES = tuple(f"{word}_{part}" for word in TASK_WORDS for part in range(VECTORS))
TABLE = "embeddings.token_embedding."
EMPTY = "empty scene blur"
POOR = ", worst quality, low quality, normal quality, bad quality, blurry "


@dataclass(frozen=True)
class Phrase:
    """A text and the task word after it: `tight` at fitting degree 1, `loose` at 0, a mixture of both between."""

    text: str
    tight: TaskWord
    loose: TaskWord


def phrases(purpose: Purpose, prompt: str = "", negative: str = "", bare: bool = False) -> tuple[Phrase, Phrase]:
    """What PowerPaint is asked, as it was trained.

    Args:
        purpose: remove what is there, put an object there, or put one that fills the shape.
        prompt: what shall be there.
        negative: what shall not.
        bare: task words alone, as version 2 gives them to its branch; version 1 puts the texts before them.

    Returns:
        The wish and its opposite, the conditional and the unconditional side of guidance.
    """
    if purpose == "remove":
        wish = Phrase(f"{EMPTY} {prompt}", "P_ctxt", "P_ctxt")
        opposite = Phrase(negative, "P_obj", "P_obj")
    else:
        tight, loose = PUT[purpose]
        wish, opposite = Phrase(prompt, tight, loose), Phrase(negative + POOR, tight, loose)
    if bare:
        return Phrase("", wish.tight, wish.loose), Phrase("", opposite.tight, opposite.loose)
    return wish, opposite


@dataclass(frozen=True)
class TaskEncoder:
    """A CLIP text encoder that knows the task words.

    Attributes:
        tokenizer: CLIPTokenizer with the 30 parts of the task words.
        network: CLIPTextModel with a row for each.
    """

    tokenizer: Any
    network: Any

    def ids(self, text: str, word: TaskWord) -> list[int]:
        """Token ids, filled up to the encoder's length: text, then the word. Too long a text is cut, the word never.

        The published code fails where the cut falls inside the word, and loses the word where it falls before it.
        """
        tokens = self.tokenizer
        room = tokens.model_max_length - 2 - VECTORS
        said = tokens(text, add_special_tokens=False)["input_ids"][:room]
        parts = tokens.convert_tokens_to_ids([name for name in NAMES if name.startswith(word)])
        ids = [tokens.bos_token_id, *said, *parts, tokens.eos_token_id]
        return ids + [tokens.pad_token_id] * (tokens.model_max_length - len(ids))

    @torch.no_grad()
    def encode(self, phrase: Phrase, fitting: float, device: torch.device) -> torch.Tensor:
        """(1, T, C): the phrase at a fitting degree in [0, 1]; T tokens are the encoder's length."""
        tight = self._states(phrase.text, phrase.tight, device)
        if phrase.loose == phrase.tight:
            return tight
        return fitting * tight + (1 - fitting) * self._states(phrase.text, phrase.loose, device)

    def _states(self, text: str, word: TaskWord, device: torch.device) -> torch.Tensor:
        states: torch.Tensor = self.network(torch.tensor([self.ids(text, word)], device=device))[
            0
        ]  # (1, T) -> (1, T, C)
        return states


def fold(tensors: Tensors, origin: Path) -> Tensors:
    """mmagic's wrapped text encoder as an ordinary one: the three tables become rows of the one.

    Args:
        tensors: of `text_encoder/text_encoder.safetensors` (version 1), `PowerPaint_Brushnet/pytorch_model.bin` (2-1),
            or a text encoder that is folded already.
        origin: where they come from, for the error.

    Raises:
        InputError: it is no text encoder of PowerPaint; what is missing is named.
    """
    plain = {name.removeprefix("text_model."): value for name, value in tensors.items()}  # transformers < 5.6 wrote it
    plain.pop("embeddings.position_ids", None)  # 0, 1, 2 ...: written by old versions of transformers
    if f"{TABLE}weight" in plain:
        return plain
    parts = [f"{TABLE}wrapped.weight", *(f"{TABLE}trainable_embeddings.{word}" for word in TASK_WORDS)]
    if lacking := [part for part in parts if part not in plain]:
        raise _no_encoder(origin, f"it lacks {', '.join(lacking)}")
    tables = [plain.pop(part) for part in parts]
    if wrong := [part for part, table in zip(parts[1:], tables[1:], strict=True) if len(table) != VECTORS]:
        raise _no_encoder(origin, f"{wrong[0]} has not {VECTORS} vectors")
    return {**plain, f"{TABLE}weight": torch.cat(tables)}  # (49408 + 30, C)


def load_task_encoder(weights: Path, config: Path, tokenizer: Path, dtype: torch.dtype) -> TaskEncoder:
    """The text encoder of PowerPaint, from any public layout.

    Args:
        weights: the file (versions 1 and 2-1: the wrapper of mmagic), or a folder of transformers that holds it
            folded (`text_encoder_brushnet` of Sanster/PowerPaint_v2).
        config: the folder of a text encoder of the same shape: the base's, or the folded one itself.
        tokenizer: the folder of the base's tokenizer, or of one that has the task words already.
        dtype: of the weights.

    Raises:
        InputError: weights are missing, foreign or damaged, or tokenizer and weights do not belong together.
    """
    file = weights_in(weights, "model") if weights.is_dir() else weights
    tensors = fold(read(file), file)
    tokens = with_task_words(CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True), tokenizer)
    rows = len(tensors[f"{TABLE}weight"])
    highest = max(tokens.convert_tokens_to_ids(list(NAMES)))
    if highest >= rows:
        raise _no_encoder(file, f"it embeds {rows} tokens, the last task word is number {highest}")
    shape = CLIPTextConfig.from_pretrained(config, local_files_only=True, vocab_size=rows)
    return TaskEncoder(tokens, built(lambda: CLIPTextModel(shape), tensors, file, dtype))


def with_task_words(tokenizer: Any, origin: Path) -> Any:
    """The tokenizer, with the 30 parts of the task words after its own tokens if it has none of them.

    Raises:
        InputError: it has some of them, so that the numbers of the others are unknown.
    """
    known = tokenizer.get_vocab()
    there = [name for name in NAMES if name in known]
    if not there:
        tokenizer.add_tokens(list(NAMES))
    elif len(there) < len(NAMES):
        lacking = [name for name in NAMES if name not in known]
        raise _no_encoder(origin, f"its tokenizer lacks {', '.join(lacking[:3])}")
    return tokenizer


def _no_encoder(origin: Path, why: str) -> InputError:
    return InputError(f"{origin} is no text encoder of PowerPaint", why, "Download PowerPaint's folder again, whole")
