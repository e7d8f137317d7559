"""Read input files before scoring: infer column types, and find text that Spark would misread (driver and worker)."""
