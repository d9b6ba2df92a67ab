"""What the Export page is made of: files, exact sizes, the self-check."""
