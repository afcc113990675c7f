"""A plugin that ends the process when it is imported, as a script without a main guard does."""

import sys

sys.exit("usage: exits_on_import FILE")
