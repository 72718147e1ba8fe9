"""Real nodes under real clients: kill -9 and SIGSTOP, and a ledger of what was promised."""
