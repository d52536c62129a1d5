"""Trading time for memory: activations that backward recomputes."""

from __future__ import annotations

from insightedit.model.assembly import Parts


def checkpoint_activations(parts: Parts) -> None:
    """Let UNet and language model keep only the inputs of their blocks (Chen et al., 2016)."""
    parts.unet.enable_gradient_checkpointing()
    language = parts.comprehension.language_model
    enable = getattr(language, "activation_checkpointing_enable", None)  # the name since some transformers 5
    (enable or language.gradient_checkpointing_enable)()
