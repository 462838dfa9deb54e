import numpy as np
import pytest

from inference.order import order_accuracy


def test_by_hand():
    """Classes 0 and 1 are each other's reverse; the second query is nearer to its reverse, the third ties."""
    database = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1], [-1, -1, 1, 1]])
    classes = np.array([0, 0, 1, 2])
    queries = np.array([[1, 1, 1, 1], [1, 1, -1, 1], [1, 1, -1, -1]])
    query_classes = np.array([0, 1, 0])
    # mean distances to class 0 and class 1: (.5, 4), (1.5, 3), (1.5, 2)
    result = order_accuracy(queries, database, query_classes, classes, 1 - query_classes)
    assert result.tolist() == [1, 0, 1]
    same = order_accuracy(queries, database, query_classes, classes, query_classes)
    assert same.tolist() == [0.5, 0.5, 0.5]


def test_random_codes_are_a_coin():
    generator = np.random.default_rng(0)
    draw = lambda n: np.where(generator.random((n, 16)) < 0.5, -1, 1)  # noqa: E731
    classes = np.arange(400) % 2
    result = order_accuracy(draw(2000), draw(400), np.arange(2000) % 2, classes, 1 - np.arange(2000) % 2)
    assert result.mean() == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)


def test_a_class_without_videos_is_refused():
    code = np.ones((1, 4))
    with pytest.raises(ValueError, match="no video"):
        order_accuracy(code, code, np.array([0]), np.array([0]), np.array([1]))
