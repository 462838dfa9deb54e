"""SHC on the datasets of its paper, beside the rivals that it trains there as well."""

from tables import Row, Table

TABLE = Table(
    title="SHC",
    datasets=("cifar100", "cars_a", "cars_b", "nabirds_a", "nabirds_b"),
    bits=(16, 32, 64),
    rows=(
        Row("SHC, centers by descent", "descent", "SHC", {"class_center_solver": "descent"}),
        Row("SHC", "shc", "SHC", published=("SHC", "resnet34")),
        Row("OrthoHash", "orthohash", "OrthoHash", published=("OrthoHash", "resnet34")),
        Row("CSQ", "csq", "CSQ", published=("CSQ", "resnet34")),
    ),
    baselines=True,
    notes=("All see the labels of the training pictures; the shallow codes see pixels alone.",),
)
