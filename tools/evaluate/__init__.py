"""Scripts that measure what the package finds, and draw it."""
