"""What a model costs, counted while its own code runs."""
