"""The Python worker: serves one backend over the stdio protocol of PROTOCOL.md.

This folder needs Python 3.9 and NumPy 1.20 or later and nothing else, so that another interpreter can run it by its
path: `python path/to/worker py:module:attr`. Those of `frameworks` need their framework besides, and other adapters
that are shipped with multimargin need multimargin there too.
"""
