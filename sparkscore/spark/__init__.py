"""Start and configure Spark sessions, run `mapInArrow` jobs, and convert schemas and errors. Runs on the driver."""
