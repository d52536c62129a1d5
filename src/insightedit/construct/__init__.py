"""Photographs -> editing dataset: one verb per step, and the recipe that joins them."""
