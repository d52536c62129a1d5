"""Steps over shards: what a step is, what is done, and who runs it."""
