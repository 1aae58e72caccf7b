"""Pages of the documentation beyond what `test_readme.py` runs of each."""
