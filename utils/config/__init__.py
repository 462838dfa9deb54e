"""Configurations: Python files of values, resolved over their bases and checked."""

from utils.config.loading import Config, load_config

__all__ = ["Config", "load_config"]
