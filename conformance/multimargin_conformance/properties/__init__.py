"""Properties of the operator, tried by Hypothesis on any backend: generated calls, each shrunk when it fails.

On the exact grid the equalities are exact, and need no oracle: only what the backend returns for one call and for
another. Elsewhere a result is judged by its enclosure.
"""
