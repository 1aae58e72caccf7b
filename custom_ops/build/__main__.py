"""The program `python -m custom_ops.build`."""

import sys

from custom_ops.build import op

sys.exit(op.main())
