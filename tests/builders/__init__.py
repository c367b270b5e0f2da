"""What several test modules build: one idea a module, and no test in them."""
