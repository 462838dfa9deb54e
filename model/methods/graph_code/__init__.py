"""A code in closed form: half-whitened trajectories beside their place in a warped neighbor graph."""
