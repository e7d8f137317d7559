"""Check and pack scoring scripts (driver), and prepare the process in which they run (worker)."""
