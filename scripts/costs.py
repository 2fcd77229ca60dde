"""Measure again how long a check of each sort takes: writes conformance/multimargin_conformance/check_costs.json.

What fail_fast makes of it is an order, so powers of two are enough; a check that is not in the file counts as 1.
"""

from __future__ import annotations

import json
import math
import statistics
import time
import warnings
from collections import defaultdict

import numpy as np

from multimargin_conformance.capabilities import Capabilities
from multimargin_conformance.checks import plan
from multimargin_conformance.checks.item import Scope
from multimargin_conformance.kills import session_of
from multimargin_conformance.ordering import COSTS, sort_of
from multimargin_reference.known import FAULTS, MODEL, Fault

ROUNDS = 3  # of which the first computes what is legal
UNIT = "exact-grid/"  # the sort whose checks cost 1


def measured() -> dict[str, int]:
    """Return the cost of each sort of check in float32 and float64, from 1, in powers of two."""
    items = plan(Scope(("float32", "float64"), True, Capabilities()))
    right = Fault(MODEL.name, "None.", FAULTS[0].clauses, lambda: MODEL)
    least = dict.fromkeys((item.id for item in items), math.inf)
    for number in range(ROUNDS):
        session = session_of(right)
        for item in items:
            began = time.process_time()
            assert item.run(session).finding is None, item.id
            if number:
                least[item.id] = min(least[item.id], time.process_time() - began)
    by_sort = defaultdict(list)
    for item in items:
        by_sort[sort_of(item)].append(least[item.id])
    unit = statistics.mean(by_sort[UNIT])
    return {sort: 2 ** max(0, round(math.log2(statistics.mean(times) / unit))) for sort, times in by_sort.items()}


def main() -> None:
    """Write the file."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        costs = measured()
    by_cost = {str(cost): sorted(s for s in costs if costs[s] == cost) for cost in sorted(set(costs.values()))}
    COSTS.write_text(json.dumps(by_cost, indent=1) + "\n", encoding="utf-8")
    print(f"wrote the costs of {len(costs)} sorts of checks to {COSTS.name}")


if __name__ == "__main__":
    main()
