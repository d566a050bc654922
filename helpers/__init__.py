"""Skin-lesion classification on HAM10000: the functions that the notebooks share."""
