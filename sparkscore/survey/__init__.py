"""Look at input files before they are scored: what they hold, and what Spark would misread (driver and worker)."""
