"""Masks of objects: from a box and the photograph's own colours, or from a network."""
