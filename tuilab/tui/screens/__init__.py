"""The lab in the terminal."""
