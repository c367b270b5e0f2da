"""Gold beads: found in the tilt images and in space, erased."""
