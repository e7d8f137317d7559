"""Entry point of ``python -m sparkscore``. Runs on the driver."""

from sparkscore.cli import main

if __name__ == "__main__":
    main()
