"""Survey input files before scoring, for the types of their values and text that Spark misreads (driver and worker)."""
