"""Pairs of pictures made from words alone: the InstructPix2Pix recipe over Prompt-to-Prompt."""
