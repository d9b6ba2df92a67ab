"""The pieces of the Model page."""
