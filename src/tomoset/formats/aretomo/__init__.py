"""AreTomo 1, 2 and 3: alignments (``.aln``) and the tables that lie beside them."""
