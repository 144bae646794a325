"""Objects of maps that do not fit into memory: found block by block, joined across borders."""
