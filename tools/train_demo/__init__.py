"""The training of the bundled checkpoint: `python tools/train_demo`."""
