"""Training: the trainer, its steps, the run folder and its checkpoints, several processes."""
