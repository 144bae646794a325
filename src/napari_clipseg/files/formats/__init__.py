"""The formats of the field: results written, and their recipes read again.

The names in ``__init__.pyi`` are imported when they are first used, so that a list of the formats
is there at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
