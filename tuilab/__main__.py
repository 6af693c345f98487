"""`python -m tuilab`: the same as `tuilab`."""

from tuilab.cli.start import main

main()
