"""Whether codes carry the order of time: do they rank a motion above the same motion run backwards?

Q queries, N database videos, K bits.
"""

import numpy as np


def order_accuracy(query_codes: np.ndarray, database_codes: np.ndarray, query_classes: np.ndarray,
                   database_classes: np.ndarray, reversed_classes: np.ndarray) -> np.ndarray:
    """For each query (Q,): 1 where the videos of its class are nearer than those of its reversed class, 0 where
    they are farther, 1/2 where neither.

    Near is the mean Hamming distance to all database videos of a class. Codes that ignore time score 1/2 on
    the average, since a motion and its reverse differ in nothing but the order of their frames.

    Args:
        query_codes, database_codes: (Q, K) and (N, K) of -1 and +1.
        query_classes, database_classes: (Q,) and (N,) class ids.
        reversed_classes: (Q,) the class of each query's motion run backwards.

    Raises:
        ValueError: a class has no video in the database.
    """
    num_bits = query_codes.shape[1]
    distances = (num_bits - query_codes.astype(np.float32) @ database_codes.astype(np.float32).T) / 2
    own = _mean_distance(distances, query_classes[:, None] == database_classes)
    other = _mean_distance(distances, reversed_classes[:, None] == database_classes)
    return np.where(own == other, 0.5, own < other)


def _mean_distance(distances: np.ndarray, members: np.ndarray) -> np.ndarray:
    counts = members.sum(axis=1)
    if not counts.all():
        raise ValueError("a query's class, or its reverse, has no video in the database.")
    return (distances * members).sum(axis=1) / counts
