"""Measurements of tuilab beside its peers, alternating in one run."""
