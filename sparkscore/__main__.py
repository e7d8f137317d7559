"""Run the command line with ``python -m sparkscore`` (driver)."""

from sparkscore.cli import main

if __name__ == "__main__":
    main()
