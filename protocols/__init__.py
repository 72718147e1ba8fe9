"""One package per protocol, each a stranger to the others."""
