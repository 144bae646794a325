"""CLIPSeg in plain PyTorch, and what runs it: the documented classes and the `Engine`.

CLIPSeg is described in Lüddecke and Ecker, "Image Segmentation Using Text and Image Prompts",
CVPR 2022, https://arxiv.org/abs/2112.10003. The names in ``__init__.pyi`` are imported when they
are first used, so that importing this package does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
