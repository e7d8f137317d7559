"""Write and read the records of runs, and the other files in the folder of each run (driver)."""
