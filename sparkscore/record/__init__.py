"""The record of a run and the folder in which it is kept (driver)."""
