"""The one configuration file: read, checked, rendered.  The shape stands in ``schema``, and only there."""

from __future__ import annotations

from broker.config.loading import load
from broker.config.problem import ConfigError, Mark, Problem
from broker.config.rendering import render
from broker.config.schema import Config

__all__ = ["Config", "ConfigError", "Mark", "Problem", "load", "render"]
