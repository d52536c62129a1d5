"""Phrases as token spans: what is asked for is known by its place in the query, never by a label read back.

Labels read back from tokens merge neighbours ("cat dog"), cut words ("##pet") and match by accident ("man" in "woman").
A span cannot: one phrase is one run of tokens between two stops, and its score is read there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from insightedit.backends.segment.found import Tokens
from insightedit.core.errors import InputError, Unfit

# [CLS] [SEP] . ? of BERT: the networks are built to part phrases at these ids (Liu et al., "Grounding DINO", 2023, 3.4)
STOPS = frozenset({101, 102, 1012, 1029})
CLS, SEP, STOP = 101, 102, 1012


@dataclass(frozen=True)
class Query:
    """One text for the network: `ids`, and for each wording the half-open span of its own tokens."""

    ids: list[int]
    spans: dict[Tokens, tuple[int, int]]


class Words:
    """Reads phrases with the network's tokenizer.

    Args:
        tokenizer: of transformers, uncased BERT.
        limit: tokens that the network reads at most, 256 in the public ones.

    Raises:
        InputError: the tokenizer has other ids than the network is built for.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        if tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", ".", "?"]) != [CLS, SEP, STOP, 1029]:
            why = "its tokenizer does not have BERT's ids for [CLS] [SEP] . ?"
            raise InputError("cannot use this detector", why, "Take the tokenizer files that belong to the weights")
        self.tokenizer, self.limit = tokenizer, limit
        self._special = set(tokenizer.all_special_ids)
        self._unknown = tokenizer.unk_token_id

    def read(self, phrase: str) -> Tokens:
        """The tokens of a phrase in lower case, without stops: a full stop inside would make two phrases of it.

        Raises:
            Unfit: empty_phrase (nothing that the tokenizer knows is left) or phrase_too_long.
        """
        tokens = self.tokenizer(phrase.lower(), add_special_tokens=False)["input_ids"]
        kept = tuple(one for one in tokens if one not in STOPS and (one not in self._special or one == self._unknown))
        if all(one == self._unknown for one in kept):
            raise Unfit("empty_phrase", repr(phrase[:80]), "words that the detector can read")
        if len(kept) + 3 > self.limit:  # [CLS] phrase . [SEP]
            raise Unfit("phrase_too_long", f"{len(kept)} tokens", f"at most {self.limit - 3}")
        return kept

    def queries(self, wordings: Sequence[Tokens]) -> list[Query]:
        """As few queries as hold all wordings, each within the limit.

        Wordings are sorted first: what a phrase scores depends a little on what else is in its query, so the answers
        would depend on the order of the objects otherwise.
        """
        queries: list[Query] = []
        ids: list[int] = []
        for wording in sorted(set(wordings)):
            if not queries or len(ids) + len(wording) + 2 > self.limit:  # its own stop and [SEP]
                ids = [CLS]
                queries.append(Query(ids, {}))
            queries[-1].spans[wording] = (len(ids), len(ids) + len(wording))
            ids += [*wording, STOP]
        for query in queries:
            query.ids.append(SEP)
        return queries
