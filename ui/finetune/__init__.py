"""What the Fine-tune page is made of."""
