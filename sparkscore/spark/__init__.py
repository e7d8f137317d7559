"""Talk to Spark: the session, its settings, jobs with `mapInArrow`, schemas and errors (driver)."""
