"""What operating systems do each in their own way: `here` is the module of the one that this process runs on.

`linux`, `macos` and `windows` have the same names, of which the first two share most (`posix`). What only one of them
can do the others say that they cannot, by a value or by an error of the kind that its callers know. In come paths,
descriptors and numbers of signals; what they are for does not belong here. Signals are handled before anything else of
ours is imported (`processes/ending.py`), so these modules import next to nothing.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from resnas_deploy.system import windows as here
elif sys.platform == "darwin":
    from resnas_deploy.system import macos as here
else:
    from resnas_deploy.system import linux as here

__all__ = ["here"]
