"""Other programs with the same weights, for `manage.py benchmark --peers`."""
