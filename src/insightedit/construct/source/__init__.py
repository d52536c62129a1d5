"""Where photographs come from: folders, COCO annotations, tar and parquet shards."""
