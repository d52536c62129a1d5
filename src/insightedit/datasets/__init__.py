"""Readers of public datasets, and the seeded mixture of them that training draws from. No torch."""
