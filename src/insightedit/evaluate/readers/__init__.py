"""Readers of benchmarks: the publishers' layouts -> samples of one form."""
