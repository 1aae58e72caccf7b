"""The networks, and what makes one network of another."""
