"""How many CPUs a process may keep busy."""

import os


def available_cpus() -> int:
    """OMP_NUM_THREADS where it is set, else the CPUs that this process may use."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit):
        return int(limit)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
