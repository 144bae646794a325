"""How a run covers an image with tiles, and how the tiles become one map again."""
