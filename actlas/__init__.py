"""actlas, the activation atlas: activations of any model in a SQL store, analyses as plugins.

Names are imported when first used, so `import actlas` stays fast.
"""

import lazy_loader as _lazy

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
