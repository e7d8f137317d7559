"""Write and read run records and the other files in run folders (driver)."""
