"""What the Sensitivity page is made of: the choice of a scan, the work, and what it shows."""
