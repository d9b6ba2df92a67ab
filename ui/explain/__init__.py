"""What the Explain page is made of: maps of two networks, how alike they are, conductance."""
