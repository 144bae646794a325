"""The CLIPSeg engine: the model in plain PyTorch, readable beside the paper.

CLIPSeg is described in Lüddecke and Ecker, "Image Segmentation Using Text and
Image Prompts", CVPR 2022, https://arxiv.org/abs/2112.10003. Read in this order:
``config``, ``layers``, ``text``, ``vision``, ``decoder``, ``model``; then how words
and pictures become tensors (``tokenizer``, ``processor``), how a folder becomes a
model (``weights``, ``hub``), and what the rest of the package uses (``engine``).
"""
