"""What is served over HTTP: health, metrics, pages."""
