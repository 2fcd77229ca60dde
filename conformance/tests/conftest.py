"""The reference computes by NumPy here unless a test says otherwise: Numba takes each new process a second to start.

Both engines are compared in reference/tests, and checked by the whole suite in test_acceptance.
"""

from __future__ import annotations

import os

os.environ.setdefault("MULTIMARGIN_ENGINE", "numpy")
