"""Listeners, connections and the engine loop."""
