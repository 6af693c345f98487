"""`python -m tuilab`: the same as `tuilab`."""

from tuilab.cli.main import main

main()
