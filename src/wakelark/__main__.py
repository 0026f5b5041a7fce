"""`python -m wakelark`, for where the command is not on the path."""

from wakelark.cli import main

main()
