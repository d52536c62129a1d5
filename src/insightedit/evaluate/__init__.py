"""Evaluation: benchmarks as versioned files, their readers, and what editors make of them."""
