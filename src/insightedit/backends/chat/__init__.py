"""Asking a multimodal language model behind any OpenAI-compatible endpoint; see docs/chat.md."""
