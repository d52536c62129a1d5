"""Comprehension: CLIP's vision encoder, LLaVA's projector and a LLaMA that answers with [MM] tokens.

B images, N patches of width W, L tokens, D the language model's width, r [MM] tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from peft import LoraConfig as PeftLora
from peft import inject_adapter_in_model
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from insightedit.model.config import LanguageConfig, LoraConfig, VisionConfig
from insightedit.model.tokens import BOS, EOS, IGNORE, PAD, Prompt, SpecialIds, TokenBatch


@dataclass
class Understanding:
    """What the MLLM makes of a batch."""

    states: torch.Tensor  # (B, L, D), after the final RMSNorm
    v: torch.Tensor | None  # (B, N, W), patch features, where there is a picture
    emits_mm: list[bool] | None = None


class Comprehension(ModelMixin, ConfigMixin):
    """Image + instruction -> the hidden states of the [MM] tokens (LLaVA; SmartEdit's token layout).

    The base vocabulary's rows stay frozen in the language model; the 35 new rows of embedding and head are parameters
    of their own, so no optimiser ever carries the other 32,000.

    Args:
        language_config, vision_config, lora_config: fields of `LanguageConfig`, `VisionConfig`, `LoraConfig`; no
            `lora_config` for merged weights.
        projector_depth: 1 (LLaVA-1.1) or 2 (LLaVA-1.5).
        prompt: fields of `Prompt`, kept with the weights that were trained on it.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        language_config: dict[str, Any] | None = None,
        vision_config: dict[str, Any] | None = None,
        projector_depth: int = 1,
        lora_config: dict[str, Any] | None = None,
        prompt: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.sizes, self.eye = LanguageConfig(**(language_config or {})), VisionConfig(**(vision_config or {}))
        self.prompt = Prompt(**(prompt or {}))
        self.special = SpecialIds(self.sizes.vocabulary, self.sizes.mm_tokens)
        self.vision = CLIPVisionModel(clip_config(self.eye))
        self.projector = projector(self.eye.width, self.sizes.width, projector_depth)
        self.language_model = LlamaForCausalLM(llama_config(self.sizes))
        if lora_config is not None:
            add_lora(self.language_model, LoraConfig(**lora_config))
        self.new_input = nn.Parameter(torch.zeros(self.sizes.new_tokens, self.sizes.width))  # (35, D)
        self.new_output = nn.Parameter(torch.zeros(self.sizes.new_tokens, self.sizes.width))  # (35, D)
        self.reset_new_rows()

    @torch.no_grad()
    def reset_new_rows(self) -> None:
        """New rows start as the mean of the old ones."""
        self.new_input.copy_(self.language_model.model.embed_tokens.weight.mean(0).expand_as(self.new_input))
        self.new_output.copy_(self.language_model.lm_head.weight.mean(0).expand_as(self.new_output))

    @property
    def vocabulary(self) -> int:
        """Rows of embedding and head together: 32,035."""
        return self.sizes.vocabulary + self.sizes.new_tokens

    def forward(
        self,
        tokens: TokenBatch,
        pixels: torch.Tensor | None,
        check_mm: bool = False,
        v: torch.Tensor | None = None,
    ) -> Understanding:
        """Tokens (B, L) and CLIP-normalised pictures (B, 3, S, S), or words alone -> `Understanding`, by one prefill.

        `check_mm` also asks whether greedy decoding would emit the [MM] tokens; `v` (B, N, W) spares the eye.
        """
        if v is None and pixels is not None:
            v = self.see(pixels)  # (B, N, W)
        inputs = self.embed(tokens, v)  # (B, L, D)
        # LLaMA's own forward makes the causal mask; padding stands on the right, so no state before it changes
        states = self.language_model.model(inputs_embeds=inputs, attention_mask=tokens.mask, use_cache=False)[0]
        return Understanding(states, v, self.would_emit(states, tokens).tolist() if check_mm else None)

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """CLIP-normalised (B, 3, S, S) -> patch features `v` (B, N, W), frozen, no gradient."""
        with torch.no_grad():
            states = self.vision(pixels.to(self.vision.dtype), output_hidden_states=True).hidden_states
            return states[self.eye.layer][:, 1:]  # the first is CLS

    def embed(self, tokens: TokenBatch, v: torch.Tensor | None) -> torch.Tensor:
        """Rows of the two tables, and the projected image, if there is one, in its place: (B, L, D)."""
        ids, first = tokens.ids, self.sizes.vocabulary
        old = self.language_model.model.embed_tokens(ids.clamp(max=first - 1))  # (B, L, D)
        new = F.embedding((ids - first).clamp(min=0), self.new_input)  # (B, L, D)
        rows = torch.where((ids >= first)[..., None], new, old)  # (B, L, D)
        if v is None:
            return rows
        image = self.projector(v.to(self.new_input.dtype))  # (B, N, D)
        places = tokens.image_start[:, None] + torch.arange(image.shape[1], device=ids.device)  # (B, N)
        return rows.scatter(1, places[..., None].expand_as(image), image.to(rows.dtype))

    def mm_states(self, states: torch.Tensor, tokens: TokenBatch) -> torch.Tensor:
        """`h` (B, r, D): the states whose input token is an [MM] token."""
        chosen = tokens.ids >= self.special.mm[0]  # (B, L), r of each row
        return states[chosen].view(len(states), self.sizes.mm_tokens, -1)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., 32035): the frozen head beside the new rows."""
        return torch.cat([self.language_model.lm_head(states), F.linear(states, self.new_output)], dim=-1)

    def language_loss(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Next-token cross-entropy over supervised positions only; no logits are made elsewhere."""
        return self.token_losses(states, labels).mean()

    def token_losses(self, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The same for each supervised position, row by row: (B, L, D), (B, L) -> (n,)."""
        wanted = labels[:, 1:]  # (B, L - 1)
        supervised = wanted != IGNORE
        logits = self.logits(states[:, :-1][supervised]).float()  # (n, 32035)
        return F.cross_entropy(logits, wanted[supervised], reduction="none")

    def answer_loss(self, h: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of words that the first k [MM] states `h` (B, r, D) should stand for, `answer` (B, k).

        A state is read by the language model's own head: no parameters beside the model's. IGNORE leaves a place out.
        Our addition, for models that learn to understand from nothing.
        """
        logits = self.logits(h[:, : answer.shape[1]])  # (B, k, vocabulary)
        return F.cross_entropy(logits.flatten(0, 1).float(), answer.flatten(), ignore_index=IGNORE)

    @torch.no_grad()
    def would_emit(self, states: torch.Tensor, tokens: TokenBatch) -> torch.Tensor:
        """bool (B,): greedy decoding after this answer text would give the [MM] tokens, every one in its place."""
        ahead = tokens.ids[:, 1:]  # (B, L - 1)
        due = ahead >= self.special.mm[0]
        agrees = self.logits(states[:, :-1][due]).argmax(-1) == ahead[due]  # (B * r,)
        return agrees.view(len(states), -1).all(1)


def projector(width: int, out: int, depth: int) -> nn.Module:
    """LLaVA's: Linear, or Linear - GELU - Linear."""
    if depth == 1:
        return nn.Linear(width, out)
    return nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))


def clip_config(eye: VisionConfig) -> CLIPVisionConfig:
    """transformers' configuration of the vision encoder (OpenAI's CLIP: quick GELU)."""
    return CLIPVisionConfig(
        hidden_size=eye.width,
        intermediate_size=eye.ffn,
        num_hidden_layers=eye.layers,
        num_attention_heads=eye.heads,
        image_size=eye.size,
        patch_size=eye.patch,
        projection_dim=768,
    )


def llama_config(sizes: LanguageConfig) -> LlamaConfig:
    """transformers' configuration of the language model, with the base vocabulary only."""
    return LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.ffn,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=sizes.max_positions,
        rms_norm_eps=sizes.norm_eps,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )


def add_lora(language_model: nn.Module, lora: LoraConfig) -> None:
    """peft's adapters, in place; B starts at zero, so nothing changes until it is trained."""
    settings = PeftLora(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias="none",
        target_modules=list(lora.targets),
    )
    inject_adapter_in_model(settings, language_model)
