"""Texts and images to the tensors that the model takes, as a checkpoint folder says."""
