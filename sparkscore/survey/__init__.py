"""Read input files before scoring, to find types of values and text that Spark would misread (driver and worker)."""
