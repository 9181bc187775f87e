"""`python -m batchspec.cli`, where the script is not on the path."""

import sys

from batchspec.cli.main import main

sys.exit(main())
