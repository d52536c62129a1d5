"""Small rendered scenes: exact counterfactual pairs, a grammar of instructions with checked referents, exact truth."""
