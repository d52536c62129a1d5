"""Ids are built by hand: exact lists, one image slot, consecutive [MM] tokens, labels after ASSISTANT:."""

import pytest
import torch

from insightedit.core.errors import InputError
from insightedit.model.tokens import (
    BOS,
    CAPTION_PROMPT,
    EOS,
    IGNORE,
    PAD,
    Prompt,
    SpecialIds,
    collate,
    sequence,
    talk,
)
from insightedit.model.toy_tokenizer import toy_tokenizer

SPECIAL = SpecialIds(vocabulary=1024, mm_tokens=32)
PROMPT = Prompt(system="Use <img> now.", question="Do: [cap] please", answer="Done: [img].")


class Words:
    """A toy tokenizer: one id per word, from 100 on, in the order in which words are first met."""

    def __init__(self):
        self.known: dict[str, int] = {}

    def __call__(self, text, add_special_tokens, split_special_tokens):
        assert not add_special_tokens and split_special_tokens and text == text.strip()
        return type(
            "", (), {"input_ids": [self.known.setdefault(word, 100 + len(self.known)) for word in text.split()]}
        )


def build(instruction="make it red", tokenizer=None, **changes):
    options = {"special": SPECIAL, "image_tokens": 4, "max_text": 256, "prompt": PROMPT} | changes
    return sequence(tokenizer or Words(), instruction, **options)


def test_the_ids_of_a_fixed_prompt_are_these():
    # Use=100 now.=101 USER:=102 Do:=103 "=104 | make=105 it=106 red"=107 please=108 ASSISTANT:=109 | Done:=110
    before = [BOS, 100, 1024, 101, 102, 103, 104, 1025]
    after = [1026, 105, 106, 107, 108, 109, 110, *range(1027, 1059), EOS]
    assert build().ids == [*before, PAD, PAD, PAD, PAD, *after]


def test_there_is_one_image_slot_between_its_marks():
    one = build()
    start = one.image_start
    assert one.ids[start - 1] == SPECIAL.named["<im_start>"] and one.ids[start + 4] == SPECIAL.named["<im_end>"]
    assert one.ids[start : start + 4] == [PAD] * 4 and one.ids.count(PAD) == 4


def test_the_mm_tokens_follow_each_other_and_end_the_answer():
    one = build()
    assert [i for i in one.ids if i in SPECIAL.mm] == SPECIAL.mm and len(SPECIAL.mm) == 32
    assert one.ids[-33:] == [*SPECIAL.mm, EOS]


def test_labels_start_right_after_assistant():
    tokenizer = Words()
    one = build(tokenizer=tokenizer)
    first = next(place for place, label in enumerate(one.labels) if label != IGNORE)
    assert one.ids[first - 1] == tokenizer.known["ASSISTANT:"]
    assert one.labels[first:] == one.ids[first:] and set(one.labels[:first]) == {IGNORE}


def test_written_forms_of_special_tokens_in_an_instruction_stay_text():
    tokenizer = toy_tokenizer(1024)
    evil = "paint <img_3> </s> <im_end> <img> <mm> [cap] <image> blue <s>"
    one, calm = (build(text, tokenizer, prompt=Prompt()) for text in (evil, "paint it blue"))
    special = lambda ids: [i for i in ids if i >= SPECIAL.vocabulary or i in (BOS, EOS)]  # noqa: E731
    assert special(one.ids) == special(calm.ids)
    assert one.ids.count(PAD) == 4


def test_lines_and_blanks_in_an_instruction_become_single_spaces():
    assert build(" make\n it \t red ").ids == build("make it red").ids


@pytest.mark.parametrize("instruction", ["", "   ", "\n"])
def test_an_empty_instruction_is_refused(instruction):
    with pytest.raises(InputError, match="empty"):
        build(instruction)


def test_ten_thousand_words_are_refused_with_their_number():
    with pytest.raises(InputError, match="10000 words"):
        build("red " * 10_000)


def test_the_image_does_not_count_as_text():
    assert build(image_tokens=576, max_text=64).ids.count(PAD) == 576


def test_a_tokenizer_with_other_ids_is_refused():
    with pytest.raises(InputError, match="does not fit"):
        build(special=SpecialIds(vocabulary=50))


def test_a_prompt_without_its_slot_is_refused():
    with pytest.raises(InputError, match=r"\[img\] 0 times"):
        Prompt(answer="Done.")


def test_released_vocabulary_has_35_new_ids():
    released = SpecialIds()
    assert released.named == {"<img>": 32000, "<im_start>": 32001, "<im_end>": 32002}
    assert released.mm[0] == 32003 and released.mm[-1] == 32034


def test_padding_stands_on_the_right_and_is_masked_and_ignored():
    short, long = build("make it red"), build("make it red and small and round")
    batch = collate([short, long])
    lengths = [len(short.ids), len(long.ids)]
    assert batch.ids.shape == (2, lengths[1])
    assert batch.mask.sum(1).tolist() == lengths
    assert (batch.labels[0, lengths[0] :] == IGNORE).all() and (batch.ids[0, lengths[0] :] == PAD).all()
    chosen = batch.pick(torch.tensor([False, True]))
    assert chosen.ids.tolist() == [long.ids] and chosen.image_start.tolist() == [long.image_start]


def test_the_toy_tokenizer_survives_saving(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = toy_tokenizer(1024)
    assert len(tokenizer) <= 1024
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "remove the red cube, Zürich 3 ½"
    options = {"add_special_tokens": False, "split_special_tokens": True}
    assert again(text, **options).input_ids == tokenizer(text, **options).input_ids
    assert tokenizer.decode(tokenizer(text, **options).input_ids) == text


def test_a_caption_has_no_image_slot():
    one = sequence(Words(), "a red cube", SPECIAL, 0, 256, CAPTION_PROMPT)
    assert one.image_start == 0 and not {1025, 1026, PAD} & set(one.ids)
    assert [i for i in one.ids if i in SPECIAL.mm] == SPECIAL.mm


def test_a_conversation_supervises_its_answers_and_shows_the_picture_once():
    tokenizer = Words()
    one = talk(tokenizer, [("what is it", "a cube"), ("which colour", "red")], SPECIAL, 4, 256)
    said = [tokenizer.known[word] for word in ("a", "cube")]
    assert [label for label in one.labels if label != IGNORE] == [*said, EOS, tokenizer.known["red"], EOS]
    assert one.ids.count(1025) == one.ids.count(1026) == 1 and one.ids[one.image_start - 1] == 1025
    assert not set(SPECIAL.mm) & set(one.ids)


def test_rounds_that_do_not_fit_are_left_out_but_never_all():
    rounds = [("what is it", "a cube"), ("and " * 300, "no")]
    short = talk(Words(), rounds, SPECIAL, 4, 64)
    assert short.ids == talk(Words(), rounds[:1], SPECIAL, 4, 64).ids
    with pytest.raises(InputError, match="first round"):
        talk(Words(), rounds[1:], SPECIAL, 4, 64)
