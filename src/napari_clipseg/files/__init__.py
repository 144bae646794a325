"""Many files, one recipe: images read, segmented and written, here or on a cluster."""
