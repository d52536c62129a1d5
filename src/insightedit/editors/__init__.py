"""Editors: one interface (image, instruction, seed) -> image of the same size, and what stands behind it."""
