"""Mixers: what mixes information between frames. Each file here that defines `Mixer` is one, by its name."""

DEFAULT = "mamba"
