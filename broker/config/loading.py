"""A configuration from a file, the environment and the defaults."""

from __future__ import annotations

from collections.abc import Mapping as Environment
from pathlib import Path

from broker.config.agreement import check_agreement
from broker.config.checking import check_tree, overlay
from broker.config.problem import ConfigError, Mark, Problem, suggestion
from broker.config.schema import Config
from broker.config.source import Mapping, Node, Scalar, read_tree

ROOT_KEY = "message_queue"
PREFIX = "DRAGOMAN__"
"""``DRAGOMAN__BROKER__STORAGE__LOG_DIR=/var/lib/dragoman`` sets ``broker.storage.log_dir``; its value is YAML."""


def load(path: Path | None, environment: Environment[str, str]) -> Config:
    """The file's settings, overridden by the environment's; ConfigError tells everything that is wrong."""
    root = read_file(path) if path is not None else None
    for name in sorted(environment):
        if name.startswith(PREFIX):
            root = read_variable(root, name, environment[name])
    problems: list[Problem] = []
    config = check_tree(root, problems) if root is not None else Config()
    if root is not None and not problems:
        check_agreement(config, root, problems)
    if problems:
        raise ConfigError(problems)
    return config


def read_file(path: Path) -> Node:
    """What stands under ``message_queue:``."""
    source = str(path)
    start = Mark(source, 1, 1)
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError([Problem(start, f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(start, f"not UTF-8: byte {error.start} can't be decoded")]) from None
    tree = read_tree(text, source)
    if not isinstance(tree, Mapping):
        raise ConfigError([Problem(start, f"must begin with `{ROOT_KEY}:`")])
    strangers = [
        Problem(mark, f"unknown key {key!r}{suggestion(key, [ROOT_KEY])}")
        for key, (mark, _) in tree.items.items()
        if key != ROOT_KEY
    ]
    if strangers or not tree.items:
        raise ConfigError(strangers or [Problem(tree.mark, f"must begin with `{ROOT_KEY}:`")])
    return tree.items[ROOT_KEY][1]


def read_variable(root: Node | None, name: str, value: str) -> Node:
    """``root`` with what one variable sets."""
    keys = [key.lower() for key in name.removeprefix(PREFIX).split("__")]
    mark = Mark(name, 1, 1)
    if not all(keys):
        raise ConfigError([Problem(mark, f"must look like {PREFIX}BROKER__STORAGE__LOG_DIR")])
    node = read_tree(value, name) or Scalar(mark, None)
    return overlay(root if isinstance(root, Mapping) else None, keys, node, mark)
