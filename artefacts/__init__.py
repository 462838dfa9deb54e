"""What preprocess makes and training reads: a file per artefact, the files that hold them, the solvers behind them."""
