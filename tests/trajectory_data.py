"""Small videos that move, for the tests of trajectories, graph and code."""

import numpy as np


class ArrayFeatures:
    """Features held in memory; counts how often each video was handed out."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float32)
        self.shape, self.num_reads = self.values.shape, 0

    def blocks(self, num_rows):
        for start in range(0, len(self.values), num_rows):
            block = self.values[start:start + num_rows]
            self.num_reads += len(block)
            yield start, block


def moving_videos(num_videos=60, num_frames=9, feature_size=7, num_classes=4, seed=0):
    """Videos (N,T,F) float32 around one smooth course for each class, and their classes (N,)."""
    rng = np.random.default_rng(0)
    courses = rng.standard_normal((num_classes, num_frames, feature_size)).cumsum(axis=1)
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, num_classes, num_videos)
    noise = rng.standard_normal((num_videos, num_frames, feature_size))
    return (5 + courses[classes] + 0.7 * noise).astype(np.float32), classes
