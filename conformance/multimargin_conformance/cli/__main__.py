"""`python -m multimargin_conformance.cli`."""

from multimargin_conformance.cli import main

main()
