"""Exchanges and bindings: from a message to its destinations."""
