"""A second way to pairs: captions in, both pictures sampled by Prompt-to-Prompt, the recipe of InstructPix2Pix."""
