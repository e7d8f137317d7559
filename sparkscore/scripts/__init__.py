"""Check and pack scoring scripts (driver), and prepare the processes that run them (worker)."""
