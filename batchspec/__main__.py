"""`python -m batchspec`."""

from batchspec.cli.main import main

if __name__ == "__main__":
    main()
