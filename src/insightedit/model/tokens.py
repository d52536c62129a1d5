"""Special tokens, the prompt, and the explicit building of ids (SmartEdit's `setup_tokens_for_conversation`).

Ids are built by hand, segment by segment, because tokenizers disagree about the spaces around added tokens:
transformers 5 puts a stray space token between them, transformers 4.28, which the released weights saw, did not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from insightedit.core.errors import InputError

if TYPE_CHECKING:
    import torch

IGNORE = -100  # a label that cross-entropy leaves out
PAD, BOS, EOS = 0, 1, 2  # LLaMA's; its <unk> is the pad
MARKERS = re.compile(r"(<img>|<im_start>|<image>|<im_end>|<mm>)")


class Tokenizer(Protocol):
    """What is asked of a LLaMA tokenizer: `tokenizer(text, add_special_tokens=False, split_special_tokens=True)`."""

    def __call__(self, text: str, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Prompt:
    """The wording around an instruction. [cap] is where picture and instruction go, [img] where the [MM] tokens go.

    The sentences are ours. Released SmartEdit weights were trained on other ones; `insightedit convert` takes those
    from the user and keeps them with the weights.
    """

    system: str = (
        "You are shown a picture and told how it should change. You work out what is meant, which part of the picture "
        "it concerns, and answer with <img> tokens that stand for the changed picture."
    )
    question: str = "Change the picture as told: [cap]"
    answer: str = "Here is the changed picture: [img]."

    def __post_init__(self) -> None:
        for name, text, slot in (("question", self.question, "[cap]"), ("answer", self.answer, "[img]")):
            if text.count(slot) != 1:
                raise InputError(f"the prompt's {name} holds {slot} {text.count(slot)} times",
                                 f"{slot} is replaced once", f"Write it once: {text!r}")  # fmt: skip


CAPTION_PROMPT = Prompt(  # of the first stage: words alone, no picture
    system="You are told of a picture. You answer with <img> tokens that stand for it.",
    question="Picture this: [cap]",
    answer="Here it is: [img].",
)
TALK_SYSTEM = "A person asks about a picture and an assistant answers."

QUESTIONS = (  # for training; at inference the first is used, always
    Prompt.question,
    "[cap] What does the picture look like afterwards?",
    "Please carry this out: [cap]",
    "Show me the picture once this is done: [cap]",
    "Here is a picture and a wish: [cap]",
    "Edit it in this way: [cap]",
    "What would it be after this change: [cap]",
    "Follow the instruction: [cap]",
)


@dataclass(frozen=True)
class SpecialIds:
    """Ids after the base vocabulary: <img>, <im_start>, <im_end>, then the [MM] tokens <img_0> .. <img_(r-1)>."""

    vocabulary: int = 32000
    mm_tokens: int = 32

    @property
    def named(self) -> dict[str, int]:
        """The three single tokens by their written form."""
        return {"<img>": self.vocabulary, "<im_start>": self.vocabulary + 1, "<im_end>": self.vocabulary + 2}

    @property
    def mm(self) -> list[int]:
        """The [MM] ids, in order."""
        return list(range(self.vocabulary + 3, self.vocabulary + 3 + self.mm_tokens))


@dataclass(frozen=True)
class TokenSequence:
    """One conversation. `ids` holds pads where the image's features go; labels are IGNORE up to "ASSISTANT:"."""

    ids: list[int]
    labels: list[int]
    image_start: int


@dataclass
class TokenBatch:
    """Sequences padded on the right. B sequences, L the longest."""

    ids: torch.Tensor  # (B, L) int64
    mask: torch.Tensor  # (B, L) bool, False on padding
    labels: torch.Tensor  # (B, L) int64
    image_start: torch.Tensor  # (B,) int64

    def pick(self, chosen: torch.Tensor) -> TokenBatch:
        """The sequences that `chosen` (B,) bool names."""
        return TokenBatch(self.ids[chosen], self.mask[chosen], self.labels[chosen], self.image_start[chosen])

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same on another device."""
        return TokenBatch(*(getattr(self, name).to(device) for name in ("ids", "mask", "labels", "image_start")))


def sequence(
    tokenizer: Tokenizer, instruction: str, special: SpecialIds, image_tokens: int, max_text: int, prompt: Prompt
) -> TokenSequence:
    """[BOS] system USER: "<im_start> IMAGE <im_end>instruction" ASSISTANT: answer [MM] x r [EOS].

    Args:
        tokenizer: LLaMA's; each text segment is stripped and encoded with its leading-space prefix.
        instruction: whatever a user wrote; written forms of special tokens in it stay plain text.
        special: where the added ids start and how many [MM] tokens there are.
        image_tokens: places for the image's features; 0 leaves the image and its marks out.
        max_text: tokens besides the image's, at most.
        prompt: the wording.

    Raises:
        InputError: the instruction is empty or too long.
    """
    words = " ".join(instruction.split())
    if not words:
        raise InputError("the instruction is empty", "nothing says what to change", "Write what should change")
    slot = '"<im_start><image><im_end>[cap]"' if image_tokens else '"[cap]"'
    quoted = prompt.question.replace("[cap]", slot)
    asked = _encode(tokenizer, f"{prompt.system} USER: {quoted} ASSISTANT:", words, special, image_tokens)
    answer = re.sub(r"\s*\[img\]\.?", "<mm>", prompt.answer)
    answered = [*_encode(tokenizer, answer, "", special, image_tokens), EOS]
    ids = [BOS, *asked, *answered]
    if len(ids) - image_tokens > max_text:
        raise InputError(f"the instruction is too long: {len(words.split())} words",
                         f"{len(ids) - image_tokens} tokens with the prompt, at most {max_text}",
                         "Shorten the instruction")  # fmt: skip
    labels = [IGNORE] * (1 + len(asked)) + answered
    return TokenSequence(ids, labels, _image_start(ids, special))


def talk(
    tokenizer: Tokenizer, rounds: Sequence[tuple[str, str]], special: SpecialIds, image_tokens: int, max_text: int
) -> TokenSequence:
    """A conversation about a picture, no [MM] tokens: USER: IMAGE question ASSISTANT: answer [EOS], again and again.

    Rounds that no longer fit into `max_text` are left out; answers and their [EOS] are supervised.

    Raises:
        InputError: not even the first round fits, or there is none.
    """
    ids, labels = [BOS], [IGNORE]
    for place, (question, answer) in enumerate(rounds):
        head = f"{TALK_SYSTEM} USER: <im_start><image><im_end>" if place == 0 else "USER:"
        asked = _encode(tokenizer, f"{head} [cap] ASSISTANT:", " ".join(question.split()), special, image_tokens)
        answered = [*_encode(tokenizer, "[cap]", " ".join(answer.split()), special, image_tokens), EOS]
        if len(ids) + len(asked) + len(answered) - image_tokens > max_text:
            break
        ids += [*asked, *answered]
        labels += [*[IGNORE] * len(asked), *answered]
    if len(ids) == 1:
        raise InputError("the conversation does not fit", f"its first round needs more than {max_text} tokens",
                         "Raise max_text or leave it out")  # fmt: skip
    return TokenSequence(ids, labels, _image_start(ids, special))


def _image_start(ids: list[int], special: SpecialIds) -> int:
    mark = special.named["<im_start>"]
    return ids.index(mark) + 1 if mark in ids else 0


def _encode(tokenizer: Tokenizer, template: str, words: str, special: SpecialIds, image_tokens: int) -> list[int]:
    """Markers of the (trusted) template become ids, text between them is encoded; the instruction comes in last."""
    ids: list[int] = []
    for piece in MARKERS.split(template):
        if piece == "<image>":
            ids += [PAD] * image_tokens
        elif piece == "<mm>":
            ids += special.mm
        elif piece in special.named:
            ids.append(special.named[piece])
        elif text := piece.replace("[cap]", words).strip():
            ids += _plain(tokenizer, text, special)
    return ids


def _plain(tokenizer: Tokenizer, text: str, special: SpecialIds) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    if max(ids, default=0) >= special.vocabulary:
        raise InputError("the tokenizer does not fit the model", f"it gave id {max(ids)} for plain text, beyond the "
                         f"{special.vocabulary} of the vocabulary", "Use the tokenizer of the base model")  # fmt: skip
    return ids


def collate(sequences: Sequence[TokenSequence]) -> TokenBatch:
    """Pad on the right to the longest."""
    import torch

    def padded(rows: list[list[int]], value: int) -> torch.Tensor:
        longest = max(map(len, rows))
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])  # (B, L)

    return TokenBatch(
        ids=padded([one.ids for one in sequences], PAD),
        mask=padded([[1] * len(one.ids) for one in sequences], 0).bool(),
        labels=padded([one.labels for one in sequences], IGNORE),
        image_start=torch.tensor([one.image_start for one in sequences]),
    )
