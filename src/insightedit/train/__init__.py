"""Training InsightEdit."""
