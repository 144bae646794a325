"""CLIPSeg as text, to be read beside the paper (https://arxiv.org/abs/2112.10003).

Read ``config``, ``layers``, ``text``, ``vision``, ``decoder``, ``model``, in this order.
``outputs`` holds what the models return, ``pretrained`` how they are loaded and saved; behind
``config`` are ``tower_configs``, ``base_config`` and ``config_checks``. Attributes have the names
of the published weights.
"""
