"""The nouns: records, images, masks, configuration, errors. Imports nothing else of the package."""
