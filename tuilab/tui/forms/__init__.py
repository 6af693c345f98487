"""Forms made from the fields of a block or of a table of settings."""
