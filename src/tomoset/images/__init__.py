"""The numbers side: image stacks, and later their filters and projectors. Arrays only."""
