"""Run the command line as ``python -m sparkscore`` (driver)."""

from sparkscore.cli import main

if __name__ == "__main__":
    main()
