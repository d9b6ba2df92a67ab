"""The pieces of the Groups page."""
