"""Everything that talks to Spark itself: the session, the one `mapInArrow`, errors, schemas, settings (driver)."""
