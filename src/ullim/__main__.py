"""``python -m ullim``."""

from ullim.cli import main

main()
