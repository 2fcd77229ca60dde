"""`python -m multimargin_conformance.needed [--check] [-j N]`: write needed_vectors.json, or verify that it is true."""

from __future__ import annotations

import argparse
import sys

from multimargin_conformance import necessity


def main() -> int:
    """Write the file, or with --check verify it; status 1 where it is not true."""
    parser = argparse.ArgumentParser(description="Which golden vector each clause needs, in each dtype.")
    parser.add_argument("--check", action="store_true", help="verify the file instead of writing it")
    parser.add_argument("-j", dest="jobs", type=int, default=1, help="number of processes")
    options = parser.parse_args()
    if options.check:
        lines = necessity.differences(options.jobs)
        print("\n".join(lines) or f"{necessity.FILE.name} is current: {necessity.summary(necessity.read())}")
        return 1 if lines else 0
    found = necessity.needs(necessity.measured(options.jobs))
    necessity.FILE.write_text(necessity.rendered(found), encoding="utf-8")
    print(f"wrote {necessity.FILE.name}: {necessity.summary(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
