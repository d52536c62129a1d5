"""insightedit: build instruction-editing datasets, train and run InsightEdit, evaluate editors."""

__version__ = "0.1.0"
