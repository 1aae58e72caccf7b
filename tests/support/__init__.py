"""What several tests share; a test imports from here and from no other test."""
