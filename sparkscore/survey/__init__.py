"""Survey input files before they are scored: their values, and text that Spark would misread (driver and worker)."""
