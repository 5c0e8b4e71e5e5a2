"""How good a model is: `manage.py evaluate`."""
