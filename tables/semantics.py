"""What S5VH's own idea is worth once its centers mean something: labels, solver, input and pooling, one at a time."""

from tables import Row, Table

INPUT, POOLING = {"frame_input": "whitened"}, {"pooling": "ordered"}
GRAPH, SOLVER = {"semantics": "graph"}, {"center_solver": "descent"}

TABLE = Table(
    title="Semantics",
    datasets=("digits",),
    rows=(
        Row("as configured", "s5vh", "S5VH", published=("S5VH", "mamba")),
        Row("labels from trajectories", "trajectories", "S5VH", {"semantics": "trajectories"}),
        Row("labels from the graph", "graph", "S5VH", GRAPH),
        Row("centers by descent", "descent", "S5VH", SOLVER),
        Row("half-whitened frames", "whitened", "S5VH", INPUT),
        Row("codes in time order", "ordered", "S5VH", POOLING),
        Row("all four, labels from the graph", "four", "S5VH", GRAPH | SOLVER | INPUT | POOLING),
        Row("all four, 10 times the center term", "heavier", "S5VH",
            GRAPH | SOLVER | INPUT | POOLING | {"a_cluster": 0.1}),
        Row("S5VHplus", "plus", "S5VHplus"),
    ),
    baselines=True,
    notes=("As configured: labels by k-means of frame means, centers by ADMM, features as they are, the mean of frame "
           "codes. a_cluster of the configs: .0002 on digits, .01 on watch.",),
)
