"""Start Spark sessions, set their settings, run jobs with `mapInArrow`, and convert schemas and errors (driver)."""
