"""Explores everything, on all processors, and prints how much that was: ``make model``."""

import os
import random
import sys
import time
from multiprocessing import Pool

from model.explore import Counts, quiet, search, walks
from model.facts import Violation
from model.scenarios import PAIRS

WALKS = 100_000
WALKS_PER_TASK = 2_000
# Faults and jumps of time.
LIMITS = [(1, 1), (2, 0), (0, 2)]


def explore_pair(task: tuple[int, int, int]) -> Counts | str:
    index, faults, jumps = task
    quiet()
    scenario = PAIRS[index]
    try:
        return search(scenario, faults, jumps)
    except Violation as violation:
        return f"{scenario.name}: {violation}"


def take_walks(task: tuple[str, int]) -> Counts | str:
    seed, first = task
    quiet()
    try:
        return walks(WALKS_PER_TASK, f"{seed}/{first}")
    except Violation as violation:
        return str(violation)


def main() -> int:
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**9))
    total, violations, started = Counts(), 0, time.monotonic()
    with Pool() as pool:
        for what, results in [
            *(
                (f"pairs, {faults} faults, {jumps} jumps of time", pool.imap_unordered(explore_pair, tasks))
                for faults, jumps in LIMITS
                if (tasks := [(index, faults, jumps) for index in range(len(PAIRS))])
            ),
            (
                f"walks of three to five events, seed {seed}",
                pool.imap_unordered(take_walks, [(seed, first) for first in range(0, WALKS, WALKS_PER_TASK)]),
            ),
        ]:
            counts = Counts()
            for result in results:
                if isinstance(result, Counts):
                    counts += result
                else:
                    violations += 1
                    print(result, flush=True)
            total += counts
            print(f"{what}: {counts}", flush=True)
    print(f"{total}, {violations} violations, {time.monotonic() - started:.0f} s")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
