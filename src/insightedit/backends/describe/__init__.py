"""Describers: what is in a photograph, where, and in which colour."""
