"""Any image as a lazy source with named axes, and probability maps written to memory or files."""
