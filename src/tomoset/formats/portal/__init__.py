"""The CryoET Data Portal: metadata of runs."""
