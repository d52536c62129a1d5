"""Properties of token spans: one phrase is one id, whatever it contains."""

from itertools import pairwise

import pytest
from transformers import BertTokenizer

from insightedit.backends.segment.found import asked
from insightedit.backends.segment.phrases import CLS, SEP, STOP, STOPS, Words
from insightedit.core.errors import InputError, Unfit


@pytest.fixture(scope="module")
def tokenizer(weights) -> BertTokenizer:
    return BertTokenizer.from_pretrained(weights["2023"])


@pytest.fixture(scope="module")
def words(tokenizer) -> Words:
    return Words(tokenizer, 64)


def spelled(tokenizer: BertTokenizer, query, wording) -> str:
    return tokenizer.decode(query.ids[slice(*query.spans[wording])])


def test_each_span_holds_its_own_phrase_and_nothing_else(words, tokenizer):
    phrases = ["man", "woman in red", "car", "carpet", "red car", "woman", "red"]
    (query,) = words.queries([words.read(phrase) for phrase in phrases])
    assert [spelled(tokenizer, query, words.read(phrase)) for phrase in phrases] == phrases
    spans = sorted(query.spans.values())
    assert all(end < start for (_, end), (start, _) in pairwise(spans))  # a stop between two


def test_the_text_is_the_one_that_transformers_writes(words, tokenizer):
    phrases = sorted(["red car", "dog", "woman in red"], key=words.read)
    (query,) = words.queries([words.read(phrase) for phrase in phrases])
    assert query.ids == tokenizer(". ".join(phrases) + ".")["input_ids"]


@pytest.mark.parametrize(
    "phrase", ["st. man", "red? car", "man.", "...man", "red car [SEP] dog", "[CLS] dog", "[PAD] dog"]
)
def test_stops_inside_a_phrase_cannot_break_its_span(words, phrase):
    tokens = words.read(phrase)
    assert not STOPS & set(tokens) and 0 not in tokens
    (query,) = words.queries([tokens])
    assert query.ids == [CLS, *tokens, STOP, SEP]


def test_case_and_blanks_do_not_make_another_phrase(words):
    assert words.read("  Red   CAR ") == words.read("red car") == words.read("Red car.")


@pytest.mark.parametrize("phrase", ["", "  ", ".", "?.?", "\U0001f600"])
def test_a_phrase_without_words_is_refused(words, phrase):
    with pytest.raises(Unfit, match="empty_phrase"):
        words.read(phrase)


def test_a_phrase_that_the_network_cannot_hold_is_refused(words):
    assert len(words.read("red " * 61)) == 61
    with pytest.raises(Unfit, match="phrase_too_long"):
        words.read("red " * 62)


def test_long_lists_are_cut_between_phrases_and_lose_none(words):
    phrases = [f"red {a}{b}" for a in "abcdefg" for b in "hijklm"]
    wordings = [words.read(phrase) for phrase in phrases]
    queries = words.queries(wordings)
    assert len(queries) > 1 and all(len(query.ids) <= 64 for query in queries)
    assert sorted(wording for query in queries for wording in query.spans) == sorted(wordings)
    for query in queries:
        assert all(tuple(query.ids[slice(*span)]) == wording for wording, span in query.spans.items())
        assert query.ids[0] == CLS and query.ids[-2:] == [STOP, SEP]
    assert len(words.queries([words.read("red " * 61)])[0].ids) == 64  # the longest one still fits
    assert len(queries[0].ids) + len(min(queries[1].spans)) + 1 > 64  # no text is cut early


def test_the_order_of_phrases_does_not_change_the_texts(words):
    wordings = [words.read(phrase) for phrase in ("dog", "red car", "man", "cup", "dog")]
    assert words.queries(wordings) == words.queries(wordings[::-1])
    assert words.queries([]) == []


def test_a_repeated_or_empty_phrase_is_asked_for_once_and_named(words):
    ask = asked(["dog", "", "Dog.", "red car"], words.read)
    assert ask.phrases == [0, 3] and ask.wordings == [words.read("dog"), words.read("red car")]
    assert [(one.phrase, one.reason) for one in ask.left] == [(1, "empty_phrase"), (2, "repeated_phrase")]
    assert all(one.seen and one.wanted for one in ask.left)


def test_a_tokenizer_of_another_network_is_refused(tokenizer):
    stranger = BertTokenizer(vocab={word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?"])})
    with pytest.raises(InputError, match="tokenizer"):
        Words(stranger, 64)
