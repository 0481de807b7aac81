"""The assets, a module for each group of the catalogue."""
