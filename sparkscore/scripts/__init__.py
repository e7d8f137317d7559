"""Check and pack scoring scripts (driver), and prepare the process that they run in (worker)."""
