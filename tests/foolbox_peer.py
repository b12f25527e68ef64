"""Foolbox, the peer whose attacks ours are compared with to the sample.

Its import uses a name that SciPy deprecates and loads a client of git, which not every machine has; neither is of
interest to the tests, and there warnings are errors.
"""

import os
import warnings

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

__all__ = ["foolbox"]
