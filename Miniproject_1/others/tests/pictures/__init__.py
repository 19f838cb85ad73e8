"""Picture files: what is read of them, what of them is kept, and the `denoise` command."""
