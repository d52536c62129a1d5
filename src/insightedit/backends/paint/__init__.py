"""Filling holes in photographs: from the photograph's own patches, or with a network."""
