"""Images in numpy, without a model: read, cut into tiles, put together, labelled."""
