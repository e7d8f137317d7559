"""What is kept of a run: its record and its folder (driver)."""
