"""Public checkpoints of others -> folders that this package and diffusers load; nothing is dropped silently."""
