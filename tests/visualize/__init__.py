"""The figures: what is drawn in them."""
