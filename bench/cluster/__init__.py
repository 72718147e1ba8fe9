"""Three nodes on this machine, measured beside clusters of three of the peers."""
