"""A LLaMA-style tokenizer made from nothing: byte pieces, letters, and whole common words. For small models."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from insightedit.model.tokens import QUESTIONS, Prompt

if TYPE_CHECKING:
    from transformers import LlamaTokenizer

COMMON = (
    "remove delete add put place replace swap turn make paint colour color change the a an to into with by for of on "
    "in object picture left right front behind next red green blue yellow purple orange grey gray black white brown "
    "pink small big large sphere cube cylinder cone metal matte only that is not as same largest smallest "
    "nearest farthest closest leftmost rightmost find look then what it take away get rid erase insert exchange "
    "recolor shape material disappear cyan"
).split()


def toy_tokenizer(size: int, words: tuple[str, ...] = ()) -> LlamaTokenizer:
    """`size` ids at most: <unk>, <s>, </s>, 256 bytes, "▁", printable letters, then the words as merges of letters.

    Args:
        size: of the vocabulary; words that no longer fit stay letters.
        words: kept whole before the common ones and those of the prompt.
    """
    from transformers import LlamaTokenizer

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *string.printable.strip()]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    merges: list[tuple[str, str]] = []
    prompt = " ".join((Prompt.system, Prompt.answer, *QUESTIONS, "USER: ASSISTANT:"))
    known = prompt.translate(str.maketrans("", "", string.punctuation)).split()
    for word in dict.fromkeys((*words, *COMMON, *known)):
        steps = [("▁" + word[:end], word[end]) for end in range(len(word))]
        fresh = [left + right for left, right in steps if left + right not in vocabulary]
        if len(vocabulary) + len(fresh) > size:
            continue
        merges += [step for step in steps if step not in merges]
        vocabulary |= {piece: len(vocabulary) + place for place, piece in enumerate(fresh)}
    return LlamaTokenizer(vocab=vocabulary, merges=merges, pad_token="<unk>")
