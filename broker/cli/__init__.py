"""The `dragoman` command."""
