"""Execute, check and render the chapters of the book."""
