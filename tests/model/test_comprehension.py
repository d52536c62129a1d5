"""The MLLM: image in its slot, one prefill equals decoding, only new rows learn."""

import pytest
import torch

from insightedit.model.comprehension import Comprehension
from insightedit.model.config import LanguageConfig, LoraConfig, VisionConfig
from insightedit.model.tokens import IGNORE, TokenBatch, collate, sequence
from insightedit.model.toy_tokenizer import toy_tokenizer

SIZES = {"width": 32, "layers": 2, "heads": 4, "ffn": 64, "vocabulary": 1024, "max_positions": 512}
EYE = {"width": 16, "layers": 3, "heads": 2, "ffn": 32, "patch": 16, "size": 64}


@pytest.fixture
def mllm():
    torch.manual_seed(0)
    model = Comprehension(SIZES, EYE, 2, vars(LoraConfig(rank=4, alpha=8))).eval()
    torch.nn.init.normal_(model.new_input, std=0.5)  # equal rows would hide mistakes
    torch.nn.init.normal_(model.new_output, std=0.5)
    return model


def tokens(mllm, *instructions) -> TokenBatch:
    tokenizer = toy_tokenizer(1024)
    built = [sequence(tokenizer, text, mllm.special, mllm.eye.grid**2, 256, mllm.prompt) for text in instructions]
    return collate(built)


PIXELS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def seen(mllm, count=1):
    return mllm.see(PIXELS[:count])


def states_of(mllm, batch, v):
    """The whole forward; `v` says how many of PIXELS."""
    out = mllm(batch, PIXELS[: len(v)])
    assert torch.equal(out.v, v) and out.emits_mm is None
    return out.states


def test_a_generation_is_a_configuration():
    assert Comprehension(SIZES, EYE, 1).projector.weight.shape == (32, 16)
    assert [p.shape[0] for p in Comprehension(SIZES, EYE, 2).projector.parameters()] == [32, 32, 32, 32]


def test_features_come_from_the_last_but_one_layer_without_cls(mllm):
    pixels = torch.randn(1, 3, 64, 64)
    states = mllm.vision(pixels, output_hidden_states=True).hidden_states
    assert torch.equal(mllm.see(pixels), states[-2][:, 1:])
    assert mllm.see(pixels).shape == (1, 16, 16)


@torch.no_grad()
def test_the_image_stands_in_its_slot_and_new_rows_at_new_ids(mllm):
    batch, v = tokens(mllm, "make it red"), seen(mllm)
    rows, start = mllm.embed(batch, v)[0], int(batch.image_start[0])
    assert torch.allclose(rows[start : start + 16], mllm.projector(v)[0])
    for place, one in enumerate(batch.ids[0].tolist()):
        if one >= 1024:
            assert torch.equal(rows[place], mllm.new_input[one - 1024])
        elif not start <= place < start + 16:
            assert torch.equal(rows[place], mllm.language_model.model.embed_tokens.weight[one])


@torch.no_grad()
def test_one_prefill_gives_the_states_of_token_by_token_decoding(mllm):
    batch, v = tokens(mllm, "make it red"), seen(mllm)
    inputs = mllm.embed(batch, v)
    at_once = states_of(mllm, batch, v)
    start = int((batch.labels[0] != IGNORE).nonzero()[0])
    past = mllm.language_model.model(inputs_embeds=inputs[:, :start], use_cache=True)
    states = [past.last_hidden_state]
    for place in range(start, inputs.shape[1]):
        step = inputs[:, place : place + 1]
        past = mllm.language_model.model(inputs_embeds=step, past_key_values=past.past_key_values, use_cache=True)
        states.append(past.last_hidden_state)
    assert torch.allclose(at_once, torch.cat(states, 1), atol=1e-5)


@torch.no_grad()
def test_padding_changes_nothing(mllm):
    v = seen(mllm, 2)
    together = tokens(mllm, "make it red", "make it red and very small and put a cone behind it")
    alone = tokens(mllm, "make it red")
    pair = mllm.mm_states(states_of(mllm, together, v), together)
    one = mllm.mm_states(states_of(mllm, alone, v[:1]), alone)
    assert one.shape == (1, 32, 32)
    assert torch.allclose(pair[:1], one, atol=1e-5)


@torch.no_grad()
def test_the_states_handed_on_are_those_of_the_mm_tokens(mllm):
    batch, v = tokens(mllm, "make it red"), seen(mllm)
    states = states_of(mllm, batch, v)
    first = batch.ids[0].tolist().index(mllm.special.mm[0])
    assert torch.equal(mllm.mm_states(states, batch)[0], states[0, first : first + 32])


@torch.no_grad()
def test_the_language_loss_is_cross_entropy_over_all_logits(mllm):
    batch, v = tokens(mllm, "make it red", "remove the cube"), seen(mllm, 2)
    states = states_of(mllm, batch, v)
    logits = mllm.logits(states)
    assert logits.shape[-1] == mllm.vocabulary == 1024 + 35
    wanted = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten())
    assert torch.allclose(mllm.language_loss(states, batch.labels), wanted, atol=1e-6)


@torch.no_grad()
def test_whether_greedy_decoding_would_emit_the_mm_tokens_is_told(mllm):
    batch, v = tokens(mllm, "make it red"), seen(mllm)
    states = states_of(mllm, batch, v)
    assert mllm.would_emit(states, batch).tolist() == [False]
    h = mllm.mm_states(states, batch)[0]
    before = states[0, batch.ids[0].tolist().index(mllm.special.mm[0]) - 1]
    wanted = torch.cat([before[None], h[:-1]])  # the state from which each [MM] token must follow
    mllm.new_output[3:] = torch.linalg.pinv(wanted).T * 1e3  # head rows that answer exactly there
    mllm.language_model.lm_head.weight.zero_()
    mllm.new_output[:3] = 0
    assert mllm.would_emit(states, batch).tolist() == [True]
    mllm.new_output[[3, 4]] = mllm.new_output[[4, 3]]
    assert mllm.would_emit(states, batch).tolist() == [False]


def test_training_moves_new_rows_and_lora_and_leaves_old_rows_alone(mllm):
    batch, v = tokens(mllm, "make it red"), seen(mllm)
    for name, parameter in mllm.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith("new_"))
    before = {name: parameter.detach().clone() for name, parameter in mllm.named_parameters()}
    optimiser = torch.optim.AdamW([p for p in mllm.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(4):
        loss = mllm.language_loss(states_of(mllm, batch, v), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    moved = {name for name, parameter in mllm.named_parameters() if not torch.equal(parameter, before[name])}
    assert losses[-1] < losses[0]
    assert moved == {name for name in before if "lora_" in name or name.startswith("new_")}
    assert torch.equal(
        mllm.language_model.model.embed_tokens.weight, before["language_model.model.embed_tokens.weight"]
    )


def test_new_rows_start_as_the_mean_of_the_old():
    model = Comprehension(SIZES, EYE)
    assert torch.allclose(model.new_output[7], model.language_model.lm_head.weight.mean(0))
    assert torch.allclose(model.new_input[0], model.language_model.model.embed_tokens.weight.mean(0))


def test_fresh_lora_changes_nothing():
    torch.manual_seed(0)
    bare = Comprehension(SIZES, EYE, 2).eval()
    torch.manual_seed(0)
    adapted = Comprehension(SIZES, EYE, 2, vars(LoraConfig(rank=4))).eval()
    names = {name.replace(".base_layer", "") for name in adapted.state_dict() if "lora_" not in name}
    assert names == set(bare.state_dict())
    state = {name.replace(".base_layer", ""): value for name, value in adapted.state_dict().items()}
    bare.load_state_dict({name: state[name] for name in bare.state_dict()})
    batch, v = tokens(bare, "make it red"), seen(bare)
    with torch.no_grad():
        assert torch.allclose(states_of(bare, batch, v), states_of(adapted, batch, v), atol=1e-6)


def test_saving_and_loading_keeps_all_of_it(mllm, tmp_path):
    mllm.save_pretrained(tmp_path)
    again = Comprehension.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in mllm.state_dict().items())
    assert (again.sizes, again.eye) == (LanguageConfig(**SIZES), VisionConfig(**EYE))
    assert not list(tmp_path.glob("*.bin")) and list(tmp_path.glob("*.safetensors"))
