"""Functions with a readable truth and fast forms that agree with it."""
