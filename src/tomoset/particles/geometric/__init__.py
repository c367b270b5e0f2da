"""The geometric hand: a map or its mirror image, by the particles."""
