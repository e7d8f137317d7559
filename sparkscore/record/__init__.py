"""Write and read the records of runs, and other files in the folders of runs (driver)."""
