"""Entry point of ``python -m sparkscore`` (driver)."""

from sparkscore.cli import main

if __name__ == "__main__":
    main()
