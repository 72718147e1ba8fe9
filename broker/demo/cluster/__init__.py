"""Three nodes on this machine, clients that keep them busy whatever becomes of a node, and what people are shown."""
