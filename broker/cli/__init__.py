"""The ``dragoman`` command: what it understands, and what its commands print."""
