"""Properties that hold for every valid call, on calls that hypothesis draws."""
