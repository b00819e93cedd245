"""`python -m diamond` is `diamond`."""

from diamond.cli.app import main

main()
