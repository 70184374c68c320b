"""``python -m pynamespaces``."""

from __future__ import annotations

import sys

from pynamespaces.cli import main

sys.exit(main())
