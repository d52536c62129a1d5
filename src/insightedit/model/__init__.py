"""The InsightEdit model: comprehension (MLLM) -> bridging (Q-Former, BIM, IAA) -> generation (Stable Diffusion)."""
