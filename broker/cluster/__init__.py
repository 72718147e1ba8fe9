"""Nodes of one cluster: their links, who is there, where shards live."""
